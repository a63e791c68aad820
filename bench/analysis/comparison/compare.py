"""The curves of a study, put side by side: verdicts, and ratios of what is the same work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from bench.analysis.comparison.types import Comparison, Ratio, Verdict
from bench.analysis.comparison.verdict import NO_LIMITS, Machines, across, pairs, within
from bench.analysis.runs.blocks import compared
from bench.analysis.runs.grouping import CurveRuns
from bench.analysis.runs.headline import run_values
from bench.analysis.runs.types import Terms
from bench.analysis.statistics.interval import LEVEL
from bench.records.results import QualityLimits

Limits = Mapping[str, QualityLimits]  # by task


def compare(
    lines: Sequence[CurveRuns], terms: Terms, limits: Limits, machines: Machines
) -> Comparison:
    """Return the verdicts within and across curves, task by task, and ratios of comparable ones.

    ``limits`` are those of each task, ``machines`` the machines by digest.
    """
    measured = [line for line in lines if line.counted]
    verdicts: list[Verdict] = []
    ratios_: list[Ratio] = []
    for task in dict.fromkeys(line.task for line in measured):
        members = [line for line in measured if line.task == task]
        known = (limits.get(task or "", NO_LIMITS), terms.allow, machines)
        inner = {line.label: within(line, *known) for line in members}
        verdicts += inner.values()
        for left, right in pairs(members):
            verdict = _noted(across(left, right, *known), left, right)
            verdicts.append(verdict)
            if inner[left.label].comparable and inner[right.label].comparable:
                ratios_ += ratios(verdict, left, right, terms.level)
    return Comparison(verdicts=tuple(verdicts), ratios=tuple(ratios_))


def _noted(verdict: Verdict, left: CurveRuns, right: CurveRuns) -> Verdict:
    """Return the verdict; where the curves' headlines are not one metric, with a note of it."""
    if left.metric == right.metric:
        return verdict
    note = f"{left.metric.name} is not declared alike (unit, direction, aggregate): no ratio"
    return msgspec.structs.replace(verdict, notes=(*verdict.notes, note))


def ratios(
    verdict: Verdict, left: CurveRuns, right: CurveRuns, level: float = LEVEL
) -> list[Ratio]:
    """Return right's number over left's at each worker count of both.

    None unless they are comparable and have the same headline metric.
    """
    if verdict.comparable is not True or left.metric != right.metric:
        return []
    found = []
    mine = {group.workers: group for group in left.groups}
    for group in right.groups:
        if group.workers in mine:
            over = run_values(group.counted, right.metric)
            under = run_values(mine[group.workers].counted, left.metric)
            interval = compared(over, under, level)
            if interval is not None:
                found.append(
                    Ratio(
                        left=left.label,
                        right=right.label,
                        workers=group.workers,
                        ratio=interval,
                        metric=left.metric,
                        accepted=verdict.accepted,
                    )
                )
    return found
