"""How each curve scales: the headline metric, speed-up and efficiency over worker count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from bench.analysis.scaling.types import Curve, CurvePoint
from bench.analysis.statistics.interval import decided
from bench.analysis.study_types import StudyAnalysis
from bench.report import format
from bench.report.charts.figures import Chart
from bench.report.charts.headline import headline
from bench.report.charts.speedup import speedup
from bench.report.section import Section


class Scaling(Section):
    """A sentence for each curve, and its charts."""

    name = "scaling"

    def answer(self, analysis: StudyAnalysis) -> Iterable[str]:
        """Return one sentence for each curve."""
        for curve in analysis.scaling.curves:
            yield f"{curve.label}: {_scaling(curve, analysis.comparison.contradicts(curve.label))}"

    def charts(self, analysis: StudyAnalysis) -> Sequence[Chart]:
        """Return the charts over worker count."""
        curves, metric = analysis.scaling.curves, analysis.metric
        scales = any(curve.metric.scales for curve in curves)
        perfect = ", the dashed line perfect scaling from the smallest worker count"
        return (
            Chart(
                name="time" if metric.is_time else "headline",
                title=f"{metric.name[0].upper()}{metric.name[1:]} over worker count",
                caption="Every dot is one run; the bar is the interval around the middle"
                f"{perfect if scales else ''}.",
                draw=partial(headline, curves),
            ),
            Chart(
                name="speedup",
                title="Speed-up and efficiency" if scales else "Speed-up",
                caption="Against the smallest worker count measured, with intervals"
                f"{'; dashed: ideal' if scales else ''}. At most six curves are drawn, the table "
                "of cells has all.",
                draw=partial(speedup, curves),
            ),
        )


def _scaling(curve: Curve, contradicted: bool) -> str:
    """Return how a curve scales, to follow its name."""
    measured = [point for point in curve.points if point.cell.value is not None]
    metric = curve.metric
    if not measured:
        return f"no run gave a {'time' if metric.is_time else metric.name}."
    if contradicted:
        return "its runs are not the same work, so no speed-up is stated."
    last = measured[-1].cell
    if len(measured) == 1:
        return (
            f"{format.format_estimate(last.value, metric.unit)} with "
            f"{format.workers(last.workers)} ({format.level(last.value, metric.unit)}); "
            "how it scales is not known."
        )
    compared = [point for point in curve.points if point.speedup is not None]
    return _faster(curve, compared[-1] if len(compared) > 1 else measured[-1])


def _faster(curve: Curve, point: CurvePoint) -> str:
    """Return "2 workers are 1.31 times as fast as 1 (95 % interval ...), efficiency 65 %"."""
    speedup, count = point.speedup, format.workers(point.cell.workers)
    if speedup is None and curve.metric.direction is None:
        return f"no manifest declares which direction of {curve.metric.name} is better."
    if speedup is None:
        return f"{count} cannot be compared with {curve.base}{_why_not(curve)}."
    word = "better"
    if not curve.metric.is_time:
        text = f"{count} have {format.beside(speedup, curve.base, curve.metric)}"
    elif speedup.mid < 1 and decided(speedup):
        text, word = f"{count} are {format.slower(speedup, curve.base)}", "faster"
    else:
        text, word = f"{count} are {format.times_as_fast(speedup, curve.base)}", "faster"
    if point.efficiency is not None:
        text = f"{text}, efficiency {format.percent(point.efficiency.mid)}"
    doubt = "" if decided(speedup) else f"; whether that is {word} at all is undecided"
    return f"{text}{doubt}."


def _why_not(curve: Curve) -> str:
    """Say that values which are not positive have no ratio, where that is the reason."""
    runs = (run for point in curve.points for run in point.cell.runs)
    return "" if all(run.value > 0 for run in runs) else ": not all values are positive"
