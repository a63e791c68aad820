"""Where the time goes: phases of runs and pipeline stages of their work."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from bench.analysis.runs.types import Share
from bench.analysis.study_types import StudyAnalysis
from bench.report.charts.bars import Bar, stacked
from bench.report.charts.figures import Chart
from bench.report.section import Section


class Phases(Section):
    """A bar for each cell, by phase and by stage."""

    name = "phases"

    def charts(self, analysis: StudyAnalysis) -> Sequence[Chart]:
        """Return both charts."""
        cells = [point.cell for point in analysis.scaling.points]
        phases = [Bar(cell.label, cell.workers, _parts(cell.phases)) for cell in cells]
        stages = [Bar(cell.label, cell.workers, _parts(cell.stages)) for cell in cells]
        return (
            Chart(
                name="phases",
                title="Where the time goes, by phase",
                caption="Medians over the runs that count; medians of parts need not add up to "
                "the median of the whole.",
                draw=partial(stacked, phases, "median time of a run (s)"),
            ),
            Chart(
                name="stages",
                title="Where the work goes, by pipeline stage",
                caption="Medians over the headline's passes. In fused mode a lazy engine's work "
                "shows in the stage that sets it off.",
                draw=partial(stacked, stages, "median time of a pass (s)"),
            ),
        )


def _parts(shares: Sequence[Share]) -> dict[str, float]:
    return {share.name: share.seconds for share in shares}
