"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis.study_types import StudyAnalysis
from bench.report.answer import answer, counts
from bench.report.charts.figures import Figure
from bench.report.markdown_blocks import bullets, safe
from bench.report.sections import SECTIONS


def render(analysis: StudyAnalysis, figures: Sequence[Figure] = ()) -> str:
    """Return the report's text; pictures are linked by their relative place."""
    blocks = [f"# {safe(analysis.title)}", f"{safe(counts(analysis))}.", bullets(answer(analysis))]
    for section in SECTIONS:
        if section.applies(analysis):
            own = [figure for figure in figures if figure.section == section.name]
            blocks += section.markdown(analysis, own)
    return "\n\n".join(block for block in blocks if block) + "\n"
