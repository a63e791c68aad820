"""What a section of the report can have; everything has a default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from bench.analysis.study_types import StudyAnalysis
from bench.report import html, markdown_blocks
from bench.report.charts.figures import Chart, Figure
from bench.report.tables import AnyTable


class Section:
    """One part of the report: the answer to one question, in every form.

    ``name`` is its anchor on the page, ``nav`` its entry in the contents ("" for none). On the
    page it is ``template``, filled in with its ``view`` and its figures.
    """

    name: ClassVar[str]
    nav: ClassVar[str] = ""
    template: ClassVar[str] = "sections/figures.html.j2"

    def applies(self, analysis: StudyAnalysis) -> bool:
        """Say whether there is anything to show."""
        return True

    def answer(self, analysis: StudyAnalysis) -> Iterable[str]:
        """Return the sentences that the report opens with."""
        return ()

    def remarks(self, analysis: StudyAnalysis) -> Iterable[str]:
        """Return the sentences that a terminal shows after the answer."""
        return ()

    def tables(self, analysis: StudyAnalysis) -> Sequence[AnyTable]:
        """Return its tables: those with CSV names are files, those for a terminal are printed."""
        return ()

    def charts(self, analysis: StudyAnalysis) -> Sequence[Chart]:
        """Return its charts, not yet drawn."""
        return ()

    def view(self, analysis: StudyAnalysis) -> Mapping[str, object]:
        """Return what its template needs, by name."""
        return {}

    def html(self, analysis: StudyAnalysis, figures: Sequence[Figure]) -> str:
        """Return its part of the page; ``figures`` are its own charts, drawn."""
        return html.render(self.template, figures=figures, **self.view(analysis))

    def markdown(self, analysis: StudyAnalysis, figures: Sequence[Figure]) -> Iterable[str]:
        """Return its blocks of the Markdown report; empty ones are left out."""
        return [markdown_blocks.figure(figure) for figure in figures]
