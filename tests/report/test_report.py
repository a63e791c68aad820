"""The report: goldens of its text and tables, and honest words where figures are missing.

``BENCHCAST_GOLDEN=write pytest tests/report`` writes the goldens again; look at the difference.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from bench.analysis.study_types import StudyAnalysis
from bench.errors import StorageFailed
from bench.report import figures, markdown, terminal, write
from bench.report import page as html
from bench.report.sections.cells import cells
from bench.report.sections.runs import runs
from tests.analysis import factory
from tests.analysis.factory import Maker, analysis_of, case, failed, gpus, samples, session, study

GOLDEN = Path(__file__).parent / "golden"
VOID = {"meta", "link", "br", "hr", "img", "input", "path", "use", "rect"}


def example() -> StudyAnalysis:
    """Return the analysis of the example study with one failed run and samples."""
    sessions, machines, runs = study()
    runs.append(failed(Maker().run(case(), 1.0, 9, run="20260102-900000"), "executor <lost> | 2"))
    chosen = factory.drawn_runs(runs)
    return analysis_of(sessions, machines, runs, samples={run: samples() for run in chosen})


class Page(HTMLParser):
    """Reads a page: its text by lines, ids, references; tags must nest."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.ids: Counter[str] = Counter()
        self.links: list[str] = []
        self.tags: Counter[str] = Counter()
        self._open: list[str] = []
        self.feed(source)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note ids and references."""
        self.tags[tag] += 1
        for name, value in attrs:
            if name == "id" and value:
                self.ids[value] += 1
            if name in ("src", "href", "xlink:href", "srcset", "data", "action") and value:
                self.links.append(value)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it as opened and closed."""
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost tag, which must be this one."""
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note text that a reader sees outside figures."""
        if not {"style", "svg"} & set(self._open) and data.strip():
            self.words.append(" ".join(data.split()))


def golden(name: str, found: str) -> None:
    """Compare with a golden file, or write it where that is asked for."""
    path = GOLDEN / name
    if os.environ.get("BENCHCAST_GOLDEN") == "write":
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


def test_goldens() -> None:
    found = example()
    drawn = figures.draw(found)
    golden("report.md", markdown.render(found, drawn))
    golden("runs.csv", runs(found.runs).csv())
    golden("cells.csv", cells(found).csv())
    golden("summary.txt", factory.printed(found))
    golden("page.txt", "\n".join(Page(html.render(found, drawn)).words) + "\n")


def test_the_page_stands_alone() -> None:
    found = example()
    source = html.render(found, figures.draw(found))
    page = Page(source)
    assert page.tags["script"] == page.tags["link"] == page.tags["img"] == 0
    assert page.tags["svg"] == 5
    assert "://" not in source
    assert "@import" not in source
    inner = [link[1:] for link in page.links if link.startswith("#")]
    assert set(inner) <= set(page.ids)
    for name in re.findall(r"url\(#([^)]+)\)", source):
        assert name in page.ids
    assert max(page.ids.values()) == 1
    files = {link for link in page.links if not link.startswith("#")}
    drawn = {f"figures/{f.name}.{kind}" for f in figures.draw(found) for kind in ("svg", "png")}
    assert files == {"cells.csv", "runs.csv"} | drawn


def test_every_run_is_on_the_page_and_in_the_sheet() -> None:
    found = example()
    page = Page(html.render(found))
    rows = list(csv.DictReader(io.StringIO(runs(found.runs).csv())))
    assert [row["run"] for row in rows] == [row.run for row in found.runs]
    assert all(page.ids[row.run] == 1 for row in found.runs)
    assert "executor <lost> | 2" in page.words
    bad = next(row for row in rows if row["status"] == "failed")
    assert (bad["seconds"], bad["objective"], bad["phase.work"]) == ("", "", "")


def test_figures_are_the_same_every_time() -> None:
    one, two = figures.draw(example()), figures.draw(example())
    assert [f.name for f in one] == ["time", "speedup", "phases", "stages", "utilization"]
    assert [(f.svg, f.inline) for f in one] == [(f.svg, f.inline) for f in two]
    assert all(f.png.startswith(b"\x89PNG") and "<dc:date>" not in f.svg for f in one)


def test_write_leaves_whole_files_only(tmp_path: Path) -> None:
    page = write(example(), tmp_path / "report")
    names = {path.name for path in page.parent.iterdir()}
    assert names == {"index.html", "report.md", "runs.csv", "cells.csv", "figures"}
    assert len(list((page.parent / "figures").iterdir())) == 10
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFailed, match="cannot be written"):
        write(example(), tmp_path / "file")


def test_gpus_have_a_figure_where_they_were_sampled() -> None:
    sessions, machines, runs = study()
    chosen = factory.drawn_runs(runs)
    host = {run: samples() for run in chosen}
    found = analysis_of(sessions, machines, runs, samples=host, gpus={chosen[0]: gpus()})
    drawn = {one.name: one for one in figures.draw(found)}
    assert list(drawn)[-2:] == ["utilization", "gpus"]
    page = Page(html.render(found, figures.draw(found)))
    assert page.ids["figure-gpus"] == 1
    shown = drawn["gpus"].svg
    assert all(word in shown for word in ("gpu0", "gpu1", "GPU busy (%)", "power (W)"))
    assert "gpus" not in [one.name for one in figures.draw(example())]


def everything(found: StudyAnalysis) -> str:
    """Return all renderings of an analysis in one text."""
    drawn = figures.draw(found)
    page = Page(html.render(found, drawn))
    return "\n".join([*page.words, markdown.render(found, drawn), factory.printed(found)])


def test_one_run_has_a_time_and_no_interval() -> None:
    words = everything(analysis_of([session([case()])], [], [Maker().run(case(), 10.0)]))
    assert "10 s with 1 worker (one run only, no interval); how it scales is not known" in words
    assert "only one worker count was measured" in words
    assert "nan" not in words.lower().split()


def test_all_failed_is_said() -> None:
    make, one = Maker(), case()
    runs = [failed(make.run(one, repeat=i), "no Java") for i in range(3)]
    words = everything(analysis_of([session([one])], [], runs))
    assert "spark-logreg: no run gave a time." in words
    assert "no run ended ok; the last one failed: no Java" in words
    assert "3 failed" in words
    assert "There is nothing to compare yet." in words


def test_nothing_at_all_is_said() -> None:
    assert "Nothing has been measured yet." in everything(analysis_of([], [], []))


def test_missing_samples_and_quality_are_said() -> None:
    make, cases = Maker(), [case(workers=1), case(workers=2)]
    runs = [make.run(one, 10.0 / one.workers + i, i) for one in cases for i in range(3)]
    bare = [msgspec.structs.replace(run, quality=None, digests=None, stages=()) for run in runs]
    words = everything(analysis_of([session(cases)], [], bare))
    assert "no samples of CPU and memory were kept" in words
    assert "Not proven: 1 of 1 comparisons lack evidence." in words
    assert "no run reports its quality" in words


def test_not_comparable_runs_get_no_speedup_in_the_answer() -> None:
    make, cases = Maker(), [case(workers=1), case(workers=2)]
    runs = [make.run(one, 10.0, i) for one in cases for i in range(2)]
    assert runs[2].quality is not None
    off = factory.quality(objective=0.9)
    runs[2] = msgspec.structs.replace(runs[2], quality=off)
    words = everything(analysis_of([session(cases)], [], runs))
    assert "its runs are not the same work, so no speed-up is stated" in words
    assert "objective differs by 0.488, 1e-06 is allowed" in words


def test_a_run_is_shown_in_full() -> None:
    from rich.console import Console

    run = Maker().run(case(), 10.0)
    shown = io.StringIO()
    Console(file=shown, width=90).print(terminal.run_panel(run))
    for part in (run.run, "spark-logreg", "phase work", "stage train"):
        assert part in shown.getvalue()


def test_a_terminal_gets_a_table_and_a_pipe_plain_text() -> None:
    from rich.console import Console

    screen = io.StringIO()
    terminal.print_analysis(example(), Console(file=screen, width=140, force_terminal=True))
    assert "\x1b[" in screen.getvalue()
    assert "\x1b[" not in factory.printed(example())
