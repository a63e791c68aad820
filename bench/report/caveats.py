"""What weakens the figures, in sentences: drift, passes not yet warm, runs that stand out."""

from __future__ import annotations

from bench.analysis.runs.types import CellSummary
from bench.analysis.statistics.types import Trend
from bench.analysis.study_types import StudyAnalysis
from bench.report import format


def sentences(overview: StudyAnalysis) -> list[str]:
    """Return one sentence for each doubt that the tests found; none where they found none."""
    found = [_drift(one) for one in overview.drift if one.found]
    labels = {curve.id: curve.label for curve in overview.curves}
    for one in overview.cells:
        place = f"{labels[one.curve]}, {format.workers(one.workers)}"
        if one.warmup is not None and one.warmup.found:
            found.append(_warmup(place, one.warmup))
        found += [f"{place}: {doubt.kind}, run {doubt.run}: {doubt.text}." for doubt in one.doubts]
    return found


def tested(overview: StudyAnalysis) -> str:
    """Return which tests were made and what the one over the order of runs gave."""
    parts = [
        f"drift on {one.scope}: {_change(one)} from the first run to the last, "
        f"p = {format.number(one.p, 2)} ({one.method}, {one.n} runs)"
        for one in overview.drift
    ] or ["drift: too few runs to test"]
    parts.append("outliers: modified z, from 5 runs on; marked, never dropped")
    return f"{'; '.join(parts)}."


def work(one: CellSummary) -> str:
    """Return wall and CPU time of the work side by side: "12.3 s / 20.1 s"."""
    if one.worker_cpu is None:
        return format.ABSENT
    return f"{format.seconds(one.wall)} / {format.seconds(one.worker_cpu)}"


def _drift(one: Trend) -> str:
    return (
        f"Drift on {one.scope}: times changed by {_change(one)} from the first run to the last "
        f"(p = {format.number(one.p, 2)}); comparisons within blocks do not suffer, others may."
    )


def _warmup(place: str, one: Trend) -> str:
    advice = "raise `warmups`" if one.change < 0 else "something builds up from pass to pass"
    return (
        f"{place}: passes after the warm-ups still change by {_change(one)} from the first to the "
        f"last (p = {format.number(one.p, 2)}); {advice}."
    )


def _change(one: Trend) -> str:
    return ("+" if one.change > 0 else "") + format.percent(one.change)
