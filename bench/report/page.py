"""The report as one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis.study_types import StudyAnalysis
from bench.report import html
from bench.report.answer import answer, counts
from bench.report.charts.figures import Figure
from bench.report.sections import SECTIONS
from bench.text import plural

SHOWN = 8  # sentences of the answer, before the reader asks for more


def render(analysis: StudyAnalysis, figures: Sequence[Figure] = ()) -> str:
    """Return the page: no script, no font, no picture from anywhere else."""
    contents: list[tuple[str, str]] = []
    parts: list[str] = []
    for section in SECTIONS:
        if section.applies(analysis):
            own = [figure for figure in figures if figure.section == section.name]
            contents += [(section.name, section.nav)] if section.nav else []
            contents += [(f"figure-{figure.name}", figure.title) for figure in own]
            parts.append(section.html(analysis, own))
    sentences = answer(analysis)
    return html.render(
        "page.html.j2",
        title=analysis.title,
        counts=counts(analysis),
        sentences=sentences[:SHOWN],
        more=sentences[SHOWN:],
        more_label=plural(len(sentences) - SHOWN, "more sentence"),
        contents=contents,
        parts=[part for part in parts if part],
    )
