"""Blocks of Markdown in which nothing of the data is taken for markup."""

from __future__ import annotations

from collections.abc import Iterable

from bench.report.charts.figures import Figure
from bench.report.tables import Row, Table


def safe(text: str) -> str:
    """Return text on one line that Markdown does not take for markup."""
    flat = " ".join(text.split()).replace("\\", "\\\\").replace("<", "&lt;")
    for sign in "|[]*`":
        flat = flat.replace(sign, "\\" + sign)
    return flat


def bullets(sentences: Iterable[str]) -> str:
    """Return a list of sentences; "" for none."""
    return "\n".join(f"- {safe(sentence)}" for sentence in sentences)


def table(of: Table[Row]) -> str:
    """Return a table."""
    columns = of.shown("markdown")
    lines = [[column.title for column in columns], ["---"] * len(columns)]
    lines += [[column.write(row) for column in columns] for row in of.rows]
    return "\n".join("| " + " | ".join(safe(cell) for cell in line) + " |" for line in lines)


def figure(of: Figure) -> str:
    """Return a figure under its heading, linked by its place beside the text."""
    return f"## {safe(of.title)}\n\n![{safe(of.alt)}](figures/{of.name}.svg)\n\n{safe(of.caption)}"
