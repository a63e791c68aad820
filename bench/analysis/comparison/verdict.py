"""The same work? Runs of one task are put side by side, and every difference is named.

Within a workload the bundle must be equal; across workloads (engines, implementations) the task,
the dataset, the parameters they share and what the model found. A fast run that got another
model is not comparable, not fast.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from bench.analysis.comparison import interleaving
from bench.analysis.comparison.facts import CONTENTION, CurveFacts, gather, words
from bench.analysis.comparison.types import Check, Difference, Verdict, VerdictScope
from bench.analysis.runs.grouping import CurveRuns, flat, others
from bench.records.results import Figure, Machine, QualityLimits, Vector
from bench.records.values import Scalar
from bench.text import quote

NO_LIMITS = QualityLimits()
NOTED = "noted, not held against them"
STUDIED = "the factor under study"
ACCEPTED = "accepted by the reader"
Machines = Mapping[str, Machine]


def within(
    line: CurveRuns,
    limits: QualityLimits = NO_LIMITS,
    allow: Collection[str] = (),
    machines: Machines | None = None,
) -> Verdict:
    """Say whether all counted runs of one curve did the same work, at every worker count.

    ``limits`` are those of the task; ``allow`` and ``machines`` are as in ``across``.
    """
    evidence = gather(line, limits, machines)
    found = [
        Difference(name=name, left=words(values[:1]), right=words(values[1:]))
        for name, values in evidence.required_within_curve().items()
        if len(values) > 1
    ]
    checks = [*_quality(evidence, evidence, limits), *_vectors(evidence, limits)]
    missing = [f"no run reports its {name}" for name in evidence.missing(quality=True)]
    notes = [
        f"{name} varies between runs: {words(values)}"
        for name, values in evidence.informative().items()
        if len(values) > 1
    ]
    notes += [
        f"{CONTENTION[name][0]}: {evidence.withheld_words(name)} (median of the runs)"
        for name in _considerable(evidence)
    ]
    notes += evidence.notes
    return _verdict("within", (line, line), _accept(found, checks, allow), checks, missing, notes)


def across(
    left: CurveRuns,
    right: CurveRuns,
    limits: QualityLimits = NO_LIMITS,
    allow: Collection[str] = (),
    machines: Machines | None = None,
) -> Verdict:
    """Say whether two curves of one task did the same work, apart from the factor under study.

    ``allow`` names differences that the reader accepts, as the verdict names them; ``machines``
    maps a digest to the machine's facts. ``limits`` are those of the task.
    """
    one, two = gather(left, limits, machines), gather(right, limits, machines)
    free = under_study(left, right)
    found = [*_settings(left, right, free), *_must(one, two, free)]
    found += [*_noted(one, two), *_required(one, two, limits)]
    checks = list(_quality(one, two, limits))
    missing = []
    for label, evidence in ((left.label, one), (right.label, two)):
        missing += [f"no run of {label} reports its {name}" for name in evidence.missing(True)]
        if evidence.figures:
            silent = [name for name, found in evidence.required.items() if not found]
            missing += [f"no run of {label} reports {name!r}" for name in silent]
    notes = list(dict.fromkeys([*one.notes, *two.notes]))
    notes += interleaving.notes(left.counted, right.counted, (left.label, right.label))
    return _verdict("across", (left, right), _accept(found, checks, allow), checks, missing, notes)


def pairs(lines: Sequence[CurveRuns]) -> Iterator[tuple[CurveRuns, CurveRuns]]:
    """Yield the curves of one task to compare: all that differ in one factor, and each other
    curve with the task's first.
    """
    covered: set[str] = set()
    for left, right in itertools.combinations(lines, 2):
        if len(under_study(left, right, every=True)) == 1:
            covered |= {left.label, right.label}
            yield left, right
    for line in lines[1:]:
        if line.label not in covered:
            yield lines[0], line


def under_study(left: CurveRuns, right: CurveRuns, *, every: bool = False) -> set[str]:
    """Return the one factor in which two curves differ; none where they differ in several.

    With ``every``, return all of them: workload, environment and paths of factors.
    """
    a, b = left.groups[0].runs[0].cell, right.groups[0].runs[0].cell
    found = {name for name in ("workload", "environment") if getattr(a, name) != getattr(b, name)}
    one, two = others(a.factors), others(b.factors)
    found |= {path for path in {*one, *two} if one.get(path) != two.get(path)}
    return found if every or len(found) == 1 else set()


def _settings(left: CurveRuns, right: CurveRuns, free: Collection[str]) -> Iterator[Difference]:
    """Yield parameters and dataset settings of the cases that differ and must not.

    Parameters that only one workload has are its own affair; so are the engine's settings.
    """
    one, two = flat(left.case), flat(right.case)
    same_place = _same(left, right, "environment")
    conf = ["conf."] if _same(left, right, "workload") else []
    for name in sorted({*one, *two}):
        a, b = one.get(name, "not given"), two.get(name, "not given")
        shared = name in one and name in two
        if a == b or name in ("passes", "warmups", "stages") or not (one and two):
            continue
        if name.startswith("dataset.") or (name.startswith("params.") and shared):
            yield _difference(name, str(a), str(b), free)
        elif name.startswith(("worker.", "driver.", *conf)):
            note = "" if same_place else "part of what the environments are"
            yield _difference(name, str(a), str(b), free, allowed=not same_place, note=note)


def _same(left: CurveRuns, right: CurveRuns, name: str) -> bool:
    """Say whether two curves have the workload or the environment in common."""
    a, b = left.groups[0].runs[0].cell, right.groups[0].runs[0].cell
    return bool(getattr(a, name) == getattr(b, name))


def _must(one: CurveFacts, two: CurveFacts, free: Collection[str]) -> Iterator[Difference]:
    """Yield facts of the runs that differ and must be equal."""
    mine, other = one.must_across(two), two.must_across(one)
    for name, values in mine.items():
        if values and other[name] and set(values) != set(other[name]):
            yield _difference(name, words(values), words(other[name]), free)


def _noted(one: CurveFacts, two: CurveFacts) -> Iterator[Difference]:
    """Yield facts that differ, which does not spoil the comparison: machines, other versions,
    iterations, and what the machines withheld where that was considerable on a side.
    """
    mine, other = one.informative(), two.informative()
    for name in sorted({*mine, *other} & {*mine} & {*other}):
        if set(mine[name]) != set(other[name]):
            yield Difference(
                name=name,
                left=words(mine[name]),
                right=words(other[name]),
                allowed=True,
                note=NOTED,
            )
    for name in sorted({*_considerable(one), *_considerable(two)}):
        yield Difference(
            name=CONTENTION[name][0],
            left=one.withheld_words(name),
            right=two.withheld_words(name),
            allowed=True,
            note=NOTED,
        )


def _considerable(evidence: CurveFacts) -> list[str]:
    """Return what the machine withheld to an extent that is to be noted."""
    return [name for name, value in evidence.withheld.items() if value > CONTENTION[name][2]]


def _required(one: CurveFacts, two: CurveFacts, limits: QualityLimits) -> Iterator[Difference]:
    """Yield a difference for each required figure that has another value in some run."""
    for name, wanted in limits.requires.items():
        mine, theirs = one.required[name], two.required[name]
        if any(value != wanted for value in (*mine, *theirs)):
            yield Difference(
                name=name,
                left=_fulfilled(mine, wanted),
                right=_fulfilled(theirs, wanted),
                note=f"the task requires {name} = {quote(wanted)} of every run",
            )


def _fulfilled(values: Sequence[Figure], wanted: Scalar) -> str:
    """Say how many runs have the value that is required."""
    if not values:
        return "not reported"
    return f"{sum(value == wanted for value in values)} of {len(values)} runs"


def _difference(
    name: str,
    left: str,
    right: str,
    free: Collection[str],
    *,
    allowed: bool = False,
    note: str = "",
) -> Difference:
    """Return a difference; allowed where its name is the factor under study (``free``)."""
    return Difference(
        name=name,
        left=left,
        right=right,
        allowed=allowed or name in free,
        note=STUDIED if name in free else note,
    )


def _quality(one: CurveFacts, two: CurveFacts, limits: QualityLimits) -> Iterator[Check]:
    """Yield one check a figure that both sides report: the runs farthest apart decide."""
    for name, mine in one.figures.items():
        theirs = two.figures.get(name, [])
        if mine and theirs:
            far = max(
                ((min(mine), max(theirs)), (max(mine), min(theirs))),
                key=lambda pair: abs(pair[0] - pair[1]),
            )
            apart = abs(far[0] - far[1])
            limit = limits.tolerances[name]
            yield Check(
                name=name,
                left=far[0],
                right=far[1],
                difference=apart,
                tolerance=limit,
                passed=apart <= limit,
            )


def _vectors(evidence: CurveFacts, limits: QualityLimits) -> Iterator[Check]:
    """Yield the check of each vector within one workload: norm and projections, relative."""
    for name, vectors in evidence.vectors.items():
        limit = limits.tolerances.get(name)
        if limit is None or len(vectors) < 2:
            continue
        first = vectors[0]
        farthest = max(vectors[1:], key=lambda other: apart(first, other))
        difference = apart(first, farthest)
        yield Check(
            name=name,
            left=first.norm,
            right=farthest.norm,
            difference=difference,
            tolerance=limit,
            passed=difference <= limit,
        )


def apart(one: Vector, two: Vector) -> float:
    """Return the largest difference of norm and projections relative to the larger norm.

    Vectors of different length or different numbers of projections are infinitely far apart.
    """
    if one.count != two.count or len(one.projections) != len(two.projections):
        return float("inf")
    scale = max(one.norm, two.norm)
    mine, theirs = (one.norm, *one.projections), (two.norm, *two.projections)
    largest = max(abs(a - b) for a, b in zip(mine, theirs, strict=True))
    return largest / scale if scale > 0 else largest


def _accept(
    found: Sequence[Difference], checks: Sequence[Check], allow: Collection[str]
) -> list[Difference]:
    """Return all differences, failed checks among them; those in ``allow`` become accepted."""
    failed = [_as_difference(check) for check in checks if not check.passed]
    return [
        msgspec.structs.replace(item, allowed=True, note=ACCEPTED)
        if item.name in allow and not item.allowed
        else item
        for item in (*found, *failed)
    ]


def _verdict(
    scope: VerdictScope,
    lines: tuple[CurveRuns, CurveRuns],
    found: Sequence[Difference],
    checks: Sequence[Check],
    missing: Sequence[str],
    notes: Sequence[str],
) -> Verdict:
    """Conclude: any difference that is not allowed is a no, missing proof is unknown."""
    failed = {check.name: check for check in checks if not check.passed}
    against = [_reason(item, failed.get(item.name)) for item in found if not item.allowed]
    accepted = tuple(dict.fromkeys(item.name for item in found if item.note == ACCEPTED))
    return Verdict(
        scope=scope,
        left=lines[0].label,
        right=lines[1].label,
        comparable=False if against else (None if missing else True),
        reasons=(*against, *missing),
        differences=tuple(found),
        checks=tuple(checks),
        accepted=accepted,
        notes=(*(f"{ACCEPTED}: {name}" for name in accepted), *notes),
    )


def _reason(item: Difference, check: Check | None) -> str:
    """Return in words what stands against the comparison."""
    if check is not None:
        return f"{check.name} differs by {check.difference:.3g}, {check.tolerance:.3g} is allowed"
    note = f" ({item.note})" if item.note else ""
    return f"{item.name} differs: {item.left} and {item.right}{note}"


def _as_difference(check: Check) -> Difference:
    """Return a failed check as a named difference."""
    return Difference(
        name=check.name,
        left=f"{check.left:.9g}",
        right=f"{check.right:.9g}",
        note=f"{check.difference:.3g} apart, {check.tolerance:.3g} allowed",
    )
