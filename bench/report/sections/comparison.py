"""How curves of the same work compare at each worker count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.analysis.comparison.types import Ratio
from bench.analysis.statistics.interval import decided, reciprocal
from bench.analysis.study_types import StudyAnalysis
from bench.report import format, metric_words
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
    """Return "At 2 workers, b is 5.13 times as fast as a (95 % interval ...)", the better first."""
    metric, at = one.metric, f"At {format.workers(one.workers)}"
    accepted = format.accepted(one.accepted)
    if metric.direction is None:
        text = f"{metric_words.multiple(one.ratio, metric)} of {one.left}"
        basis = f"{format.level(one.ratio)}; {metric_words.direction(metric)}"
        return f"{at}, {one.right} has {text} ({basis}){accepted}."
    better, other = one.right, one.left
    gain = reciprocal(one.ratio) if metric.direction == "lower" else one.ratio
    if one.ratio.mid == 1 or gain.mid < 1:
        better, other, gain = one.left, one.right, reciprocal(gain)
    verb, word = ("is", "faster") if metric.is_time else ("has", "better")
    doubt = "" if decided(gain) else f"; which of them is {word} is undecided"
    text = metric_words.compared_with(gain, metric, other)
    return f"{at}, {better} {verb} {text}{doubt}{accepted}."
