"""A column is defined once, and every medium shows it in its own way."""

from __future__ import annotations

import csv
import io
from typing import NamedTuple

from rich.console import Console

from bench.report import html, markdown_blocks
from bench.report.format import seconds
from bench.report.tables import Column, Table
from bench.report.terminal import rich_table


class Run(NamedTuple):
    """A row."""

    name: str
    wall: float | None


COLUMNS = (
    Column[Run](csv="run", title="run", of=lambda r: r.name),
    Column[Run](csv="wall", title="time", of=lambda r: r.wall, text=lambda r: seconds(r.wall)),
    Column[Run](csv="raw", of=lambda r: r.wall),
    Column[Run](title="plain", of=lambda r: r.wall, where=("page",)),
)
TABLE = Table(columns=COLUMNS, rows=[Run("a|<b>", 12.3456), Run("two\nlines", None)])


def test_csv_has_values_and_an_absent_one_is_an_empty_field() -> None:
    rows = list(csv.reader(io.StringIO(TABLE.csv())))
    assert rows == [["run", "wall", "raw"], ["a|<b>", "12.3456", "12.3456"], ["two lines", "", ""]]


def test_people_read_words_and_an_absent_value_is_a_dash() -> None:
    page = html.page_table(TABLE)
    assert [cell.content for cell in page.head] == ["run", "time", "plain"]
    assert [cell.content for cell in page.rows[0][1]] == ["a|<b>", "12.3 s", "12.3456"]
    assert [cell.content for cell in page.rows[1][1]][1:] == ["–", "–"]
    lines = markdown_blocks.table(TABLE).splitlines()
    assert lines[0] == "| run | time |"
    assert lines[2:] == ["| a\\|&lt;b> | 12.3 s |", "| two lines | – |"]
    out = io.StringIO()
    Console(file=out, width=60).print(rich_table(TABLE))
    assert "a|<b>" in out.getvalue()
    assert "12.3 s" in out.getvalue()
    assert "plain" not in out.getvalue()


def test_the_page_escapes_what_is_data() -> None:
    shown = html.render("sections/cells.html.j2", table=html.page_table(TABLE), methods="<m>",
                        which="w", what="time", level="l")  # fmt: skip
    assert "a|&lt;b&gt;" in shown
    assert "&lt;m&gt;" in shown
    assert "<b>" not in shown
