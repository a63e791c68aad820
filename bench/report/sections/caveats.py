"""What weakens the figures, in sentences: drift, passes not yet warm, runs that stand out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.analysis.runs.metrics import MetricRule
from bench.analysis.statistics.types import Trend
from bench.analysis.study_types import StudyAnalysis
from bench.report import format
from bench.report.charts.figures import Figure
from bench.report.markdown_blocks import bullets, safe
from bench.report.section import Section


class Caveats(Section):
    """A sentence for each doubt that a test found, and which tests were made."""

    name = "caveats"
    template = "sections/caveats.html.j2"

    def applies(self, analysis: StudyAnalysis) -> bool:
        """Say whether anything was measured."""
        return bool(analysis.scaling.points)

    def remarks(self, analysis: StudyAnalysis) -> Iterable[str]:
        """Return the doubts."""
        return sentences(analysis)

    def view(self, analysis: StudyAnalysis) -> Mapping[str, object]:
        """Return the doubts and the tests."""
        return {"sentences": sentences(analysis), "tested": tested(analysis)}

    def markdown(self, analysis: StudyAnalysis, figures: Sequence[Figure]) -> Iterable[str]:
        """Return the doubts as a list, and the tests."""
        return [bullets(sentences(analysis)), safe(f"Tested: {tested(analysis)}")]


def sentences(analysis: StudyAnalysis) -> list[str]:
    """Return one sentence for each doubt that the tests found; none where they found none."""
    found = [_drift(trend, analysis.metric) for trend in analysis.trends if trend.found]
    for cell in (point.cell for point in analysis.scaling.points):
        label = format.cell_label(cell.label, cell.workers)
        if cell.warmup is not None and cell.warmup.found:
            found.append(_warmup(label, cell.warmup))
        found += [f"{label}: {doubt.kind}, run {doubt.run}: {doubt.text}." for doubt in cell.doubts]
    return found


def tested(analysis: StudyAnalysis) -> str:
    """Return which tests were made and what the one over the order of runs gave."""
    parts = [
        f"drift on {one.scope}: {_change(one)} from the first run to the last, "
        f"p = {format.number(one.p, 2)} ({one.method}, {one.n} runs)"
        for one in analysis.trends
    ] or ["drift: too few runs to test"]
    parts.append("outliers: modified z, from 5 runs on; marked, never dropped")
    return f"{'; '.join(parts)}."


def _drift(one: Trend, metric: MetricRule) -> str:
    what = "times" if metric.is_time else metric.name
    return (
        f"Drift on {one.scope}: {what} changed by {_change(one)}{_better(one, metric)} from the "
        f"first run to the last (p = {format.number(one.p, 2)}); comparisons within blocks do not "
        "suffer, others may."
    )


def _better(one: Trend, metric: MetricRule) -> str:
    """Say whether a change is for the better, of a metric other than time."""
    if metric.is_time or metric.direction is None:
        return ""
    better = (one.change > 0) == (metric.direction == "higher")
    return f" (for the {'better' if better else 'worse'})"


def _warmup(label: str, one: Trend) -> str:
    advice = "raise `warmups`" if one.change < 0 else "something builds up from pass to pass"
    return (
        f"{label}: passes after the warm-ups still change by {_change(one)} from the first to the "
        f"last (p = {format.number(one.p, 2)}); {advice}."
    )


def _change(one: Trend) -> str:
    return ("+" if one.change > 0 else "") + format.percent(one.change)
