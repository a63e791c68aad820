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
    texts = [_drift(trend, analysis.metric) for trend in analysis.trends if trend.significant]
    for cell in (point.cell for point in analysis.scaling.points):
        label = format.cell_label(cell.label, cell.workers)
        if cell.warmup is not None and cell.warmup.significant:
            texts.append(_warmup(label, cell.warmup))
        texts += [f"{label}: {doubt.kind}, run {doubt.run}: {doubt.text}." for doubt in cell.doubts]
    return texts


def tested(analysis: StudyAnalysis) -> str:
    """Return which tests were made and what the one over the order of runs gave."""
    parts = [
        f"drift on {trend.scope}: {_change(trend)} from the first run to the last, "
        f"p = {format.number(trend.p, 2)} ({trend.method}, {trend.n} runs)"
        for trend in analysis.trends
    ] or ["drift: too few runs to test"]
    parts.append("outliers: modified z, from 5 runs on; marked, never dropped")
    return f"{'; '.join(parts)}."


def _drift(trend: Trend, metric: MetricRule) -> str:
    what = "times" if metric.is_time else metric.name
    return (
        f"Drift on {trend.scope}: {what} changed by {_change(trend)}{_better(trend, metric)} from "
        f"the first run to the last (p = {format.number(trend.p, 2)}); comparisons within blocks "
        "do not suffer, others may."
    )


def _better(trend: Trend, metric: MetricRule) -> str:
    """Say whether a change is for the better, of a metric other than time."""
    if metric.is_time or metric.direction is None:
        return ""
    better = (trend.change > 0) == (metric.direction == "higher")
    return f" (for the {'better' if better else 'worse'})"


def _warmup(label: str, trend: Trend) -> str:
    advice = "raise `warmups`" if trend.change < 0 else "something builds up from pass to pass"
    return (
        f"{label}: passes after the warm-ups still change by {_change(trend)} from the first to "
        f"the last (p = {format.number(trend.p, 2)}); {advice}."
    )


def _change(trend: Trend) -> str:
    return ("+" if trend.change > 0 else "") + format.percent(trend.change)
