"""The figures of all sections."""

from __future__ import annotations

from bench.analysis.study_types import StudyAnalysis
from bench.report.charts.figures import Figure, drawn
from bench.report.sections import SECTIONS


def draw(analysis: StudyAnalysis) -> tuple[Figure, ...]:
    """Return the figures that the analysis has data for, in the order of the sections."""
    subject = ", ".join(curve.label for curve in analysis.scaling.curves[:6])
    figures = (
        drawn(chart, section.name, subject)
        for section in SECTIONS
        if section.applies(analysis)
        for chart in section.charts(analysis)
    )
    return tuple(figure for figure in figures if figure is not None)
