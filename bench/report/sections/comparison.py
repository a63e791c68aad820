"""How curves of the same work compare at each worker count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.analysis.comparison.types import Ratio
from bench.analysis.statistics.interval import decided, reciprocal
from bench.analysis.study_types import StudyAnalysis
from bench.report import format
from bench.report.charts.figures import Figure
from bench.report.section import Section


class Comparison(Section):
    """A sentence of the answer for each ratio; the page has nothing to add to it."""

    name = "comparison"

    def answer(self, analysis: StudyAnalysis) -> Iterable[str]:
        """Return one sentence for each pair of comparable curves and worker count."""
        return [_ratio(one) for one in analysis.comparison.ratios]

    def html(self, analysis: StudyAnalysis, figures: Sequence[Figure]) -> str:
        """Return nothing."""
        return ""


def _ratio(one: Ratio) -> str:
    """Return "At 2 workers, b is 5.13 times as fast as a (95 % interval ...)", the faster first."""
    if not one.metric.is_time:
        return _other(one)
    if one.ratio.mid < 1:
        faster, slower, speed = one.right, one.left, reciprocal(one.ratio)
    else:
        faster, slower, speed = one.left, one.right, one.ratio
    doubt = "" if decided(speed) else "; which of them is faster is undecided"
    return (
        f"At {format.workers(one.workers)}, {faster} is {format.times_as_fast(speed, slower)}"
        f"{doubt}{format.accepted(one.accepted)}."
    )


def _other(one: Ratio) -> str:
    """Return "At 2 workers, b has 1.3 times the throughput of a (...; higher is better)"."""
    where = f"At {format.workers(one.workers)}, "
    if one.metric.direction is None:
        ends = f"{format.format_estimate(one.ratio)} times the {one.metric.name} of {one.left}"
        return f"{where}{one.right} has {ends} ({format.level(one.ratio)})."
    gain = one.ratio if one.metric.direction == "higher" else reciprocal(one.ratio)
    doubt = "" if decided(gain) else "; which of them is better is undecided"
    text = format.beside(gain, one.left, one.metric)
    return f"{where}{one.right} has {text}{doubt}{format.accepted(one.accepted)}."
