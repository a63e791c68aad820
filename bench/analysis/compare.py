"""The same work? Runs of one task are put side by side, and every difference is named.

Within a workload the bundle must be equal; across workloads (engines, implementations) the task,
the dataset, the parameters they share and what the model found. A fast run that got another
model is not comparable, not fast.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence

from bench.analysis.evidence import Evidence, gather, words
from bench.analysis.results import Check, Difference, Ratio, Verdict
from bench.analysis.scaling import ratio
from bench.analysis.selection import Line, flat, others
from bench.analysis.summary import LEVEL, headline
from bench.model import Vector

TOLERANCES: Mapping[str, float] = {"objective": 1e-6, "auc": 1e-4, "vector": 1e-9}


def within(line: Line, tolerances: Mapping[str, float] = TOLERANCES) -> Verdict:
    """Say whether all counted runs of one curve did the same work, at every worker count.

    ``tolerances`` are absolute for objective and auc, relative for the coefficient vector.
    """
    evidence = gather(line)
    found = [
        Difference(name=name, left=words(values[:1]), right=words(values[1:]))
        for name, values in evidence.must_within().items()
        if len(values) > 1
    ]
    checks = [*_quality(evidence, evidence, tolerances), *_vector(evidence, tolerances)]
    missing = [f"no run reports its {name}" for name in evidence.missing(quality=True)]
    notes = [
        f"{name} varies between runs: {words(values)}"
        for name, values in evidence.may_vary().items()
        if len(values) > 1
    ]
    return _verdict("within", (line, line), found, checks, missing, [*notes, *evidence.notes])


def across(
    left: Line,
    right: Line,
    tolerances: Mapping[str, float] = TOLERANCES,
    allow: Collection[str] = (),
) -> Verdict:
    """Say whether two curves of one task did the same work, apart from the factor under study.

    ``allow`` names further differences that are meant. The tolerances are as in ``within``.
    """
    one, two = gather(left), gather(right)
    free = {*allow, *under_study(left, right)}
    found = [*_settings(left, right, free), *_must(one, two, free)]
    found += [*_noted(one, two), *_converged(one, two)]
    checks = list(_quality(one, two, tolerances))
    missing = []
    for label, evidence in ((left.label, one), (right.label, two)):
        missing += [f"no run of {label} reports its {name}" for name in evidence.missing(True)]
        if evidence.values and not evidence.converged and "objective" in evidence.figures:
            missing.append(f"no run of {label} says whether it converged")
    return _verdict("across", (left, right), found, checks, missing, _both(one, two))


def pairs(lines: Sequence[Line]) -> Iterator[tuple[Line, Line]]:
    """Yield the curves of one task to compare: all that differ in one factor, and each other
    curve with the task's first."""
    covered: set[str] = set()
    for left, right in itertools.combinations(lines, 2):
        if len(under_study(left, right, every=True)) == 1:
            covered |= {left.id, right.id}
            yield left, right
    for line in lines[1:]:
        if line.id not in covered:
            yield lines[0], line


def under_study(left: Line, right: Line, *, every: bool = False) -> set[str]:
    """Return the one factor in which two curves differ; none where they differ in several.

    With ``every``, return all of them: workload, environment and paths of factors.
    """
    a, b = left.groups[0].runs[0].cell, right.groups[0].runs[0].cell
    found = {name for name in ("workload", "environment") if getattr(a, name) != getattr(b, name)}
    one, two = others(a.factors), others(b.factors)
    found |= {path for path in {*one, *two} if one.get(path) != two.get(path)}
    return found if every or len(found) == 1 else set()


def ratios(verdict: Verdict, left: Line, right: Line, level: float = LEVEL) -> list[Ratio]:
    """Return right's time over left's at each worker count of both; none unless comparable."""
    if verdict.comparable is not True:
        return []
    found = []
    mine = {group.workers: group for group in left.groups}
    for group in right.groups:
        if group.workers in mine:
            over, under = (
                [head.seconds for run in runs if (head := headline(run)) is not None]
                for runs in (group.counted, mine[group.workers].counted)
            )
            interval = ratio(over, under, level)
            if interval is not None:
                found.append(
                    Ratio(
                        left=left.id,
                        right=right.id,
                        left_label=left.label,
                        right_label=right.label,
                        workers=group.workers,
                        ratio=interval,
                    )
                )
    return found


def _settings(left: Line, right: Line, free: Collection[str]) -> Iterator[Difference]:
    """Yield parameters and dataset settings of the cases that differ and must not.

    Parameters that only one workload has are its own affair; so are the engine's settings.
    """
    one, two = flat(left.case), flat(right.case)
    same_place = _same(left, right, "environment")
    for name in sorted({*one, *two}):
        a, b = one.get(name, "not given"), two.get(name, "not given")
        shared = name in one and name in two
        if a == b or name in ("passes", "warmups", "stages") or not (one and two):
            continue
        if name.startswith("dataset.") or (name.startswith("params.") and shared):
            yield _difference(name, str(a), str(b), free)
        elif name.startswith(("worker.", "driver.")):
            note = "" if same_place else "part of what the environments are"
            yield _difference(name, str(a), str(b), free, allowed=not same_place, note=note)
        elif name.startswith("conf.") and _same(left, right, "workload") and same_place:
            yield _difference(name, str(a), str(b), free)


def _same(left: Line, right: Line, name: str) -> bool:
    """Say whether two curves have the workload or the environment in common."""
    a, b = left.groups[0].runs[0].cell, right.groups[0].runs[0].cell
    return bool(getattr(a, name) == getattr(b, name))


def _must(one: Evidence, two: Evidence, free: Collection[str]) -> Iterator[Difference]:
    """Yield facts of the runs that differ and must be equal."""
    mine, other = one.must_across(two), two.must_across(one)
    for name, values in mine.items():
        if values and other[name] and set(values) != set(other[name]):
            yield _difference(name, words(values), words(other[name]), free)


def _noted(one: Evidence, two: Evidence) -> Iterator[Difference]:
    """Yield facts that differ, which does not spoil the comparison: machines, other versions."""
    mine, other = one.may_vary(), two.may_vary()
    for name in sorted({*mine, *other} & {*mine} & {*other}):
        if set(mine[name]) != set(other[name]):
            yield Difference(
                name=name,
                left=words(mine[name]),
                right=words(other[name]),
                allowed=True,
                note="noted, not held against them",
            )


def _converged(one: Evidence, two: Evidence) -> Iterator[Difference]:
    """Yield a difference where a side has runs that did not converge."""
    if False in one.converged or False in two.converged:
        yield Difference(
            name="converged",
            left=_convergence(one),
            right=_convergence(two),
            note="a model that did not converge is not the same model",
        )


def _convergence(evidence: Evidence) -> str:
    """Say how many runs converged."""
    if not evidence.converged:
        return "not reported"
    return f"{sum(evidence.converged)} of {len(evidence.converged)} runs"


def _difference(
    name: str,
    left: str,
    right: str,
    free: Collection[str],
    *,
    allowed: bool = False,
    note: str = "",
) -> Difference:
    """Return a difference; allowed where its name is among the ``free`` ones."""
    return Difference(
        name=name,
        left=left,
        right=right,
        allowed=allowed or name in free,
        note="the factor under study, or allowed by name" if name in free else note,
    )


def _quality(one: Evidence, two: Evidence, tolerances: Mapping[str, float]) -> Iterator[Check]:
    """Yield one check a figure that both sides report: the runs farthest apart decide."""
    for name, mine in one.figures.items():
        theirs = two.figures.get(name, [])
        if mine and theirs:
            far = max(
                ((min(mine), max(theirs)), (max(mine), min(theirs))),
                key=lambda pair: abs(pair[0] - pair[1]),
            )
            apart = abs(far[0] - far[1])
            limit = tolerances.get(name, TOLERANCES[name])
            yield Check(
                name=name,
                left=far[0],
                right=far[1],
                difference=apart,
                tolerance=limit,
                passed=apart <= limit,
            )


def _vector(evidence: Evidence, tolerances: Mapping[str, float]) -> Iterator[Check]:
    """Yield the check of coefficients within one workload: norm and projections, relative."""
    if len(evidence.vectors) < 2:
        return
    limit = tolerances.get("vector", TOLERANCES["vector"])
    first = evidence.vectors[0]
    farthest = max(evidence.vectors[1:], key=lambda other: apart(first, other))
    difference = apart(first, farthest)
    yield Check(
        name="vector",
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


def _both(one: Evidence, two: Evidence) -> list[str]:
    """Return notes on a pair: what each side's runs say, and how they were interleaved."""
    notes = list(dict.fromkeys([*one.notes, *two.notes]))
    if one.sessions and two.sessions and not one.sessions & two.sessions:
        notes.append("measured in different sessions, not interleaved: drift is not averaged out")
    return notes


def _verdict(
    scope: str,
    lines: tuple[Line, Line],
    found: Sequence[Difference],
    checks: Sequence[Check],
    missing: Sequence[str],
    notes: Sequence[str],
) -> Verdict:
    """Conclude: any forbidden difference or failed check is a no, missing proof is unknown."""
    failed = [check for check in checks if not check.passed]
    against = [
        f"{item.name} differs: {item.left} and {item.right}"
        + (f" ({item.note})" if item.note else "")
        for item in found
        if not item.allowed
    ]
    against += [
        f"{check.name} differs by {check.difference:.3g}, {check.tolerance:.3g} is allowed"
        for check in failed
    ]
    differences = [*found, *(_as_difference(check) for check in failed)]
    return Verdict(
        scope="within" if scope == "within" else "across",
        left=lines[0].id,
        right=lines[1].id,
        left_label=lines[0].label,
        right_label=lines[1].label,
        comparable=False if against else (None if missing else True),
        reasons=(*against, *missing),
        differences=tuple(differences),
        checks=tuple(checks),
        notes=tuple(notes),
    )


def _as_difference(check: Check) -> Difference:
    """Return a failed check as a named difference."""
    return Difference(
        name=check.name,
        left=f"{check.left:.9g}",
        right=f"{check.right:.9g}",
        note=f"{check.difference:.3g} apart, {check.tolerance:.3g} allowed",
    )
