"""CPU, memory and GPUs while the runs ran that stand for the curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from bench.analysis.study_types import StudyAnalysis
from bench.report.charts.figures import Chart
from bench.report.charts.samples import gpus, utilization
from bench.report.format import sampling_rate
from bench.report.section import Section


class Utilization(Section):
    """A row of panels for each run that has samples."""

    name = "utilization"
    template = "sections/utilization.html.j2"

    def applies(self, analysis: StudyAnalysis) -> bool:
        """Say whether there are samples."""
        return bool(analysis.utilization)

    def charts(self, analysis: StudyAnalysis) -> Sequence[Chart]:
        """Return the charts over time."""
        return (
            Chart(
                name="utilization",
                title="CPU and memory while it ran",
                caption="The run nearest to the middle, at each curve's largest worker count.",
                draw=partial(utilization, analysis.utilization),
            ),
            Chart(
                name="gpus",
                title="GPUs while it ran",
                caption="The same runs: the share of the time before a sample in which the GPU "
                "worked (the driver's own, over at most its last second), the memory in use and "
                "the power drawn.",
                draw=partial(gpus, analysis.utilization),
            ),
        )

    def view(self, analysis: StudyAnalysis) -> Mapping[str, object]:
        """Return the runs, and how often they were sampled."""
        return {
            "runs": [
                (run.run, f" ({sampling_rate(run.sampling)})" if run.sampling else "")
                for run in analysis.utilization
            ]
        }
