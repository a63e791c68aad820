"""Parts of the page, from templates that escape everything by themselves."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from bench.report.tables import Column, Row, Table

if TYPE_CHECKING:
    from jinja2 import Environment


class Cell(NamedTuple):
    """One cell of a table on the page: its content and its CSS classes."""

    content: str
    classes: str


class PageTable(NamedTuple):
    """A table as the template writes it: headings with their class, rows with their id."""

    head: list[Cell]
    rows: list[tuple[str, list[Cell]]]


def render(template: str, **view: object) -> Markup:
    """Return a template of ``templates/`` filled in; what is not ``Markup`` is escaped."""
    return Markup(_templates().get_template(template).render(**view))  # noqa: S704 - the template escaped it


def page_table(table: Table[Row]) -> PageTable:
    """Return a table for the macro ``table`` of the templates."""
    columns = table.shown("page")
    return PageTable(
        head=[Cell(column.title, "n" if column.number else "") for column in columns],
        rows=[
            (
                table.row_id(row) if table.row_id is not None else "",
                [_cell(column, row) for column in columns],
            )
            for row in table.rows
        ],
    )


def _cell(column: Column[Row], row: Row) -> Cell:
    content = column.html(row) if column.html is not None else column.write(row)
    classes = ["n" if column.number else "", column.style(row) if column.style is not None else ""]
    return Cell(content, " ".join(name for name in classes if name))


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("bench.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
