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
NOTED = "noted, does not prevent a comparison"
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
    differences = [
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
    return _verdict(
        "within", (line, line), _accept(differences, checks, allow), checks, missing, notes
    )


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
    left_facts, right_facts = gather(left, limits, machines), gather(right, limits, machines)
    free = under_study(left, right)
    differences = [*_settings(left, right, free), *_must(left_facts, right_facts, free)]
    differences += [*_noted(left_facts, right_facts), *_required(left_facts, right_facts, limits)]
    checks = list(_quality(left_facts, right_facts, limits))
    missing = []
    for label, evidence in ((left.label, left_facts), (right.label, right_facts)):
        missing += [f"no run of {label} reports its {name}" for name in evidence.missing(True)]
        if evidence.figures:
            silent = [name for name, values in evidence.required.items() if not values]
            missing += [f"no run of {label} reports {name!r}" for name in silent]
    notes = list(dict.fromkeys([*left_facts.notes, *right_facts.notes]))
    notes += interleaving.notes(left.counted, right.counted, (left.label, right.label))
    return _verdict(
        "across", (left, right), _accept(differences, checks, allow), checks, missing, notes
    )


def pairs(lines: Sequence[CurveRuns]) -> Iterator[tuple[CurveRuns, CurveRuns]]:
    """Yield the pairs of curves of one task to compare.

    They are all that differ in one factor, and each other curve with the task's first.
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
    differing = {
        name for name in ("workload", "environment") if getattr(a, name) != getattr(b, name)
    }
    left_factors, right_factors = others(a.factors), others(b.factors)
    differing |= {
        path
        for path in {*left_factors, *right_factors}
        if left_factors.get(path) != right_factors.get(path)
    }
    return differing if every or len(differing) == 1 else set()


def _settings(left: CurveRuns, right: CurveRuns, free: Collection[str]) -> Iterator[Difference]:
    """Yield parameters and dataset settings of the cases that differ and must not.

    Parameters that only one workload has are its own affair; so are the engine's settings.
    """
    left_settings, right_settings = flat(left.case), flat(right.case)
    same_place = _same(left, right, "environment")
    conf = ["conf."] if _same(left, right, "workload") else []
    for name in sorted({*left_settings, *right_settings}):
        a, b = left_settings.get(name, "not given"), right_settings.get(name, "not given")
        shared = name in left_settings and name in right_settings
        if (
            a == b
            or name in ("passes", "warmups", "stages")
            or not (left_settings and right_settings)
        ):
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


def _must(left: CurveFacts, right: CurveFacts, free: Collection[str]) -> Iterator[Difference]:
    """Yield facts of the runs that differ and must be equal."""
    left_values, right_values = left.must_across(right), right.must_across(left)
    for name, values in left_values.items():
        if values and right_values[name] and set(values) != set(right_values[name]):
            yield _difference(name, words(values), words(right_values[name]), free)


def _noted(left: CurveFacts, right: CurveFacts) -> Iterator[Difference]:
    """Yield facts that differ without preventing the comparison.

    They are machines, other versions, iterations, and the CPU time that the machines withheld
    where it was considerable on a side.
    """
    left_values, right_values = left.informative(), right.informative()
    for name in sorted({*left_values, *right_values} & {*left_values} & {*right_values}):
        if set(left_values[name]) != set(right_values[name]):
            yield Difference(
                name=name,
                left=words(left_values[name]),
                right=words(right_values[name]),
                allowed=True,
                note=NOTED,
            )
    for name in sorted({*_considerable(left), *_considerable(right)}):
        yield Difference(
            name=CONTENTION[name][0],
            left=left.withheld_words(name),
            right=right.withheld_words(name),
            allowed=True,
            note=NOTED,
        )


def _considerable(evidence: CurveFacts) -> list[str]:
    """Return what the machine withheld to an extent that is to be noted."""
    return [name for name, value in evidence.withheld.items() if value > CONTENTION[name][2]]


def _required(left: CurveFacts, right: CurveFacts, limits: QualityLimits) -> Iterator[Difference]:
    """Yield a difference for each required figure that has another value in some run."""
    for name, wanted in limits.requires.items():
        left_values, right_values = left.required[name], right.required[name]
        if any(value != wanted for value in (*left_values, *right_values)):
            yield Difference(
                name=name,
                left=_fulfilled(left_values, wanted),
                right=_fulfilled(right_values, wanted),
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


def _quality(left: CurveFacts, right: CurveFacts, limits: QualityLimits) -> Iterator[Check]:
    """Yield one check a figure that both sides report: the runs farthest apart decide."""
    for name, left_values in left.figures.items():
        right_values = right.figures.get(name, [])
        if left_values and right_values:
            far = max(
                ((min(left_values), max(right_values)), (max(left_values), min(right_values))),
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


def apart(left: Vector, right: Vector) -> float:
    """Return the largest difference of norm and projections relative to the larger norm.

    Vectors of different length or different numbers of projections are infinitely far apart.
    """
    if left.count != right.count or len(left.projections) != len(right.projections):
        return float("inf")
    scale = max(left.norm, right.norm)
    left_numbers, right_numbers = (left.norm, *left.projections), (right.norm, *right.projections)
    largest = max(abs(a - b) for a, b in zip(left_numbers, right_numbers, strict=True))
    return largest / scale if scale > 0 else largest


def _accept(
    differences: Sequence[Difference], checks: Sequence[Check], allow: Collection[str]
) -> list[Difference]:
    """Return all differences, failed checks among them; those in ``allow`` become accepted."""
    failed = [_as_difference(check) for check in checks if not check.passed]
    return [
        msgspec.structs.replace(item, allowed=True, note=ACCEPTED)
        if item.name in allow and not item.allowed
        else item
        for item in (*differences, *failed)
    ]


def _verdict(
    scope: VerdictScope,
    lines: tuple[CurveRuns, CurveRuns],
    differences: Sequence[Difference],
    checks: Sequence[Check],
    missing: Sequence[str],
    notes: Sequence[str],
) -> Verdict:
    """Conclude: any difference that is not allowed is a no, missing proof is unknown."""
    failed = {check.name: check for check in checks if not check.passed}
    against = [_reason(item, failed.get(item.name)) for item in differences if not item.allowed]
    accepted = tuple(dict.fromkeys(item.name for item in differences if item.note == ACCEPTED))
    return Verdict(
        scope=scope,
        left=lines[0].label,
        right=lines[1].label,
        comparable=False if against else (None if missing else True),
        reasons=(*against, *missing),
        differences=tuple(differences),
        checks=tuple(checks),
        accepted=accepted,
        notes=(*(f"{ACCEPTED}: {name}" for name in accepted), *notes),
    )


def _reason(item: Difference, check: Check | None) -> str:
    """Return in words why the two sides are not comparable."""
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
