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
        return [_ratio(ratio) for ratio in analysis.comparison.ratios]

    def html(self, analysis: StudyAnalysis, figures: Sequence[Figure]) -> str:
        """Return nothing."""
        return ""


def _ratio(ratio: Ratio) -> str:
    """Return "At 2 workers, b is 5.13 times as fast as a (95 % interval ...)", the faster first."""
    if not ratio.metric.is_time:
        return _other(ratio)
    if ratio.ratio.mid < 1:
        faster, slower, speed = ratio.right, ratio.left, reciprocal(ratio.ratio)
    else:
        faster, slower, speed = ratio.left, ratio.right, ratio.ratio
    doubt = "" if decided(speed) else "; which of them is faster is undecided"
    return (
        f"At {format.workers(ratio.workers)}, {faster} is {format.times_as_fast(speed, slower)}"
        f"{doubt}{format.accepted(ratio.accepted)}."
    )


def _other(ratio: Ratio) -> str:
    """Return "At 2 workers, b has 1.3 times the throughput of a (...; higher is better)"."""
    where = f"At {format.workers(ratio.workers)}, "
    if ratio.metric.direction is None:
        ends = (
            f"{format.format_estimate(ratio.ratio)} times the {ratio.metric.name} of {ratio.left}"
        )
        return f"{where}{ratio.right} has {ends} ({format.level(ratio.ratio)})."
    gain = ratio.ratio if ratio.metric.direction == "higher" else reciprocal(ratio.ratio)
    doubt = "" if decided(gain) else "; which of them is better is undecided"
    text = format.beside(gain, ratio.left, ratio.metric)
    return f"{where}{ratio.right} has {text}{doubt}{format.accepted(ratio.accepted)}."
