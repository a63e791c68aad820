"""Tables whose columns are defined once, for the page, Markdown, the terminal and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, TypeVar

import msgspec

from bench.report.format import ABSENT

Row = TypeVar("Row")
Medium = Literal["page", "markdown", "terminal"]
EVERYWHERE: tuple[Medium, ...] = ("page", "markdown", "terminal")


class Column(msgspec.Struct, Generic[Row], frozen=True, kw_only=True):
    """One column: ``of`` returns a row's value, None where it is absent.

    People read it under ``title`` in the media of ``where``, as ``text`` writes it (by default
    the value itself) and, on the page, as ``html`` does, with ``style`` as its CSS class. CSV has
    the value under the name ``csv``. Without a title or a name it is left out there.
    """

    title: str = ""
    csv: str = ""
    of: Callable[[Row], object]
    text: Callable[[Row], str] | None = None
    html: Callable[[Row], str] | None = None
    style: Callable[[Row], str] | None = None
    number: bool = False
    where: tuple[Medium, ...] = EVERYWHERE

    def write(self, row: Row) -> str:
        """Return a row's value for people."""
        if self.text is not None:
            return self.text(row)
        value = self.of(row)
        return ABSENT if value is None else str(value)


class Table(msgspec.Struct, Generic[Row], frozen=True, kw_only=True):
    """Rows and their columns; ``name`` is that of its CSV file, ``title`` stands over it on a
    terminal. ``row_id`` returns a row's id on the page, ``alert`` whether it is bad news.
    """

    columns: Sequence[Column[Row]]
    rows: Sequence[Row]
    name: str = ""
    title: str = ""
    row_id: Callable[[Row], str] | None = None
    alert: Callable[[Row], bool] | None = None

    def shown(self, medium: Medium) -> list[Column[Row]]:
        """Return the columns that people read there."""
        return [column for column in self.columns if column.title and medium in column.where]

    def csv(self) -> str:
        """Return CSV with a header; an absent value is an empty field, line breaks are spaces."""
        columns = [column for column in self.columns if column.csv]
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([column.csv for column in columns])
        writer.writerows([_field(column.of(row)) for column in columns] for row in self.rows)
        return out.getvalue()


AnyTable = Table[Any]


def _field(value: object) -> object:
    return " ".join(value.split()) if isinstance(value, str) else value
