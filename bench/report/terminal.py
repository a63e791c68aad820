"""Results for the terminal: what every section has to say there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.analysis.attribution.attribution import Attribution, Part
from bench.analysis.study_types import StudyAnalysis
from bench.records.results import Run
from bench.report import format
from bench.report.answer import answer, counts, remarks
from bench.report.sections import SECTIONS
from bench.report.tables import Column, Row, Table
from bench.text import plural
from bench.units import format_moment

if TYPE_CHECKING:
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table as RichTable

PARTS = (
    Column[Part](title="part", of=lambda p: p.name),
    Column[Part](
        title="time", of=lambda p: p.seconds, text=lambda p: format.seconds(p.seconds), number=True
    ),
    Column[Part](
        title="share", of=lambda p: p.share, text=lambda p: format.percent(p.share), number=True
    ),
    Column[Part](title="what it is", of=lambda p: p.text),
)


def print_analysis(analysis: StudyAnalysis, console: Console) -> None:
    """Print the sections' tables, the answer in sentences, and what to keep in mind with it."""
    from rich.text import Text

    for section in SECTIONS:
        for table in section.tables(analysis) if section.applies(analysis) else ():
            if table.rows and table.shown("terminal"):
                console.print(rich_table(table))
    for sentence in (f"{counts(analysis)}.", *answer(analysis), *remarks(analysis)):
        console.print(Text(sentence), soft_wrap=not console.is_terminal)


def rich_table(table: Table[Row]) -> RichTable:
    """Return a table for the terminal; bad news are red."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(title=Text(table.title), box=box.SIMPLE_HEAD, title_justify="left")
    columns = table.shown("terminal")
    for column in columns:
        shown.add_column(column.title, justify="right" if column.number else "left")
    for row in table.rows:
        bad = table.alert is not None and table.alert(row)
        cells = (Text(column.write(row)) for column in columns)
        shown.add_row(*cells, style="red" if bad else "")
    return shown


def run_panel(run: Run) -> Panel:
    """Return one run as a panel, for ``show RUN``."""
    from rich.panel import Panel
    from rich.text import Text

    colour = {"ok": "green", "skipped": "yellow"}.get(run.status, "red")
    body = Text("\n".join(_aligned(_details(run))))
    return Panel(body, title=Text(run.run), subtitle=Text(run.status), border_style=colour)


def attribution_table(attribution: Attribution) -> RichTable:
    """Return where a run's work went, the largest part first."""
    slots = plural(attribution.slots, "slot")
    parts = sorted(attribution.parts, key=lambda part: -part.seconds)
    title = f"where the work's {format.seconds(attribution.wall)} on {slots} went"
    return rich_table(Table(title=title, columns=PARTS, rows=parts))


def _details(run: Run) -> list[tuple[str, str]]:
    """Return a run's facts, name and value; what it does not say is left out."""
    cell = run.cell
    rows = [
        ("workload", cell.workload),
        ("environment", cell.environment),
        ("workers", f"{run.workers_wanted} wanted, {_seen(run)} seen"),
        ("factors", format.factors(cell.factors)),
        ("repeat", f"{cell.repeat}, attempt {run.attempt}"),
        ("started", format_moment(run.started_at)),
        ("reason", run.reason),
        ("passes", ", ".join(format.seconds(value) for value in run.passes)),
        *((f"phase {name}", format.seconds(value)) for name, value in run.phases.items()),
        *((f"stage {s.name}", f"{format.seconds(s.wall)} (pass {s.number})") for s in run.stages),
    ]
    if run.quality:
        rows += [(name, format.number(value, 9)) for name, value in run.quality.numbers.items()]
    for m in run.measurements:
        values = ", ".join(format.number(value, 6) for value in m.values[:8])
        rows.append((m.metric, f"{values} {m.unit}".strip()))
    rows += [
        (f"event {event.kind}", f"{format_moment(event.at)} {event.text}") for event in run.events
    ]
    rows += [(f"version {name}", value) for name, value in sorted(run.versions.items())]
    return [(name, value) for name, value in rows if value]


def _seen(run: Run) -> str:
    """Return how many workers the workload saw."""
    return "not known" if run.workers_seen is None else str(run.workers_seen)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows with their columns aligned, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
