"""A section is in every form of the report where it applies, and in none where it does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from bench.analysis.study_types import StudyAnalysis
from bench.report import answer, figures, folder, markdown, page, sections, terminal
from bench.report.charts.figures import Chart, Figure
from bench.report.charts.headline import headline
from bench.report.section import Section
from bench.report.sections import SECTIONS
from bench.report.tables import AnyTable, Column, Table
from tests.analysis.factory import analysis_of, printed
from tests.report.test_report import example


class Added(Section):
    """A section as somebody would add one."""

    name = "added"
    nav = "Added"
    template = "sections/unknown.html.j2"

    def applies(self, analysis: StudyAnalysis) -> bool:
        """Apply to what was measured."""
        return bool(analysis.runs)

    def answer(self, analysis: StudyAnalysis) -> Iterable[str]:
        """Answer."""
        return ["the added answer"]

    def remarks(self, analysis: StudyAnalysis) -> Iterable[str]:
        """Remark."""
        return ["the added remark"]

    def tables(self, analysis: StudyAnalysis) -> Sequence[AnyTable]:
        """Count the runs."""
        column = Column[int](csv="added", title="added", of=lambda n: n)
        return [Table(name="added", columns=[column], rows=[len(analysis.runs)])]

    def charts(self, analysis: StudyAnalysis) -> Sequence[Chart]:
        """Draw time again."""
        curves = analysis.scaling.curves
        return [
            Chart(name="more", title="More", caption="c", draw=lambda: headline(curves, "time (s)"))
        ]

    def view(self, analysis: StudyAnalysis) -> Mapping[str, object]:
        """Say something."""
        return {"sentences": ["the added part"]}

    def markdown(self, analysis: StudyAnalysis, figures: Sequence[Figure]) -> Iterable[str]:
        """Say it here, too."""
        return ["the added block", *super().markdown(analysis, figures)]


@pytest.fixture
def _added(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the section to the one list of them."""
    for module in (answer, figures, markdown, page, sections, terminal):
        monkeypatch.setattr(module, "SECTIONS", (*SECTIONS, Added()))


@pytest.mark.usefixtures("_added")
def test_a_new_section_is_everywhere_once_it_is_on_the_list(tmp_path: Path) -> None:
    shown = folder.write(example(), tmp_path).read_text()
    assert "the added answer" in shown
    assert "the added part" in shown
    assert '<a href="#added">Added</a>' in shown
    assert '<a href="#figure-more">More</a>' in shown
    text = (tmp_path / "report.md").read_text()
    assert "the added block" in text
    assert "](figures/more.svg)" in text
    assert (tmp_path / "figures" / "more.png").is_file()
    assert (tmp_path / "added.csv").read_text() == "added\n21\n"
    told = printed(example())
    assert "the added answer" in told
    assert told.splitlines()[-1] == "the added remark"


@pytest.mark.usefixtures("_added")
def test_where_it_does_not_apply_it_is_nowhere(tmp_path: Path) -> None:
    empty = analysis_of([], [], [])
    folder.write(empty, tmp_path)
    for path in tmp_path.rglob("*.*"):
        assert "added" not in path.name
        assert "added" not in path.read_text()
    assert "added" not in printed(empty)


def test_names_are_unique() -> None:
    assert len({section.name for section in SECTIONS}) == len(SECTIONS)
    names = [chart.name for section in SECTIONS for chart in section.charts(example())]
    assert len(set(names)) == len(names)
