"""What the data does not tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.analysis.study_types import StudyAnalysis
from bench.report.charts.figures import Figure
from bench.report.markdown_blocks import bullets
from bench.report.section import Section


class Unknown(Section):
    """The list of what is missing; the page also says that nothing is."""

    name = "unknown"
    nav = "Not known"
    template = "sections/unknown.html.j2"

    def view(self, analysis: StudyAnalysis) -> Mapping[str, object]:
        """Return the sentences."""
        return {"sentences": analysis.unknown}

    def markdown(self, analysis: StudyAnalysis, figures: Sequence[Figure]) -> Iterable[str]:
        """Return the sentences as a list."""
        return ["## What is not known", bullets(analysis.unknown)] if analysis.unknown else []
