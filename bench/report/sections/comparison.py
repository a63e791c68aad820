"""How curves of the same work compare at each worker count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.analysis.comparison.types import Ratio
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
    """Return one sentence on two comparable curves at one worker count."""
    return (
        f"At {format.workers(one.workers)}, {one.right} takes "
        f"{format.format_estimate(one.ratio)}× the time of {one.left} "
        f"({format.level(one.ratio)}){format.accepted(one.accepted)}."
    )
