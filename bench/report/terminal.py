"""Results for the terminal: rich tables for people, aligned plain text where it is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.analysis.attribution.attribution import Attribution
from bench.analysis.study_types import StudyAnalysis
from bench.records.results import Run
from bench.report import caveats, format
from bench.text import plural
from bench.units import format_moment

if TYPE_CHECKING:
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table

_HEAD = (
    "curve",
    "workers",
    "n",
    "failed",
    "time",
    "interval",
    "CV",
    "wall / CPU",
    "speed-up",
    "efficiency",
)


def summary_table(overview: StudyAnalysis) -> Table:
    """Return the cells as a table."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(overview.title), box=box.SIMPLE_HEAD, title_justify="left")
    for name in _HEAD:
        table.add_column(name, justify="left" if name == "curve" else "right")
    for row in _rows(overview):
        style = "red" if row[3] != "0" else ""
        table.add_row(*(Text(cell) for cell in row), style=style)
    return table


def summary_text(overview: StudyAnalysis) -> str:
    """Return title, cells, the answer and the verdict as plain text."""
    lines = [overview.title, format.counts(overview), "", *_aligned([_HEAD, *_rows(overview)]), ""]
    return "\n".join([*lines, *_answer(overview)]) + "\n"


def show(overview: StudyAnalysis, console: Console) -> None:
    """Print the overview to a console: a table with the answer on a terminal, else plain text."""
    from rich.text import Text

    if not console.is_terminal:
        console.file.write(summary_text(overview))
        return
    console.print(summary_table(overview))
    for line in _answer(overview):
        console.print(Text(line))


def _answer(overview: StudyAnalysis) -> list[str]:
    """Return the answer, the verdict and what weakens them."""
    verdict = format.equality(overview.verdicts)
    return [*format.headline(overview), verdict, *caveats.sentences(overview)]


def run_panel(run: Run) -> Panel:
    """Return one run as a panel, for ``show RUN``."""
    from rich.panel import Panel
    from rich.text import Text

    colour = {"ok": "green", "skipped": "yellow"}.get(run.status, "red")
    body = Text("\n".join(_aligned(_details(run))))
    return Panel(body, title=Text(run.run), subtitle=Text(run.status), border_style=colour)


def run_text(run: Run) -> str:
    """Return one run as plain text."""
    return "\n".join(_aligned([("run", run.run), ("status", run.status), *_details(run)])) + "\n"


def attribution_table(found: Attribution) -> Table:
    """Return where a run's work went, the largest part first."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    slots = plural(found.slots, "slot")
    title = f"where the work's {format.seconds(found.wall)} on {slots} went"
    table = Table(title=Text(title), box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("part", "time", "share", ""):
        table.add_column(name, justify="right" if name in ("time", "share") else "left")
    for part in sorted(found.parts, key=lambda part: -part.seconds):
        row = (part.name, format.seconds(part.seconds), format.percent(part.share), part.text)
        table.add_row(*map(Text, row))
    return table


def _rows(overview: StudyAnalysis) -> list[tuple[str, ...]]:
    """Return one row a cell."""
    labels = {curve.id: curve for curve in overview.curves}
    rows: list[tuple[str, ...]] = []
    for one in overview.cells:
        point = next(p for p in labels[one.curve].points if p.workers == one.workers)
        rows.append(
            (
                labels[one.curve].label,
                str(one.workers),
                str(one.counts.ok),
                str(one.counts.failed + one.counts.timeout),
                format.middle(one.seconds, "s"),
                format.span(one.seconds, "s"),
                format.percent(one.cv),
                caveats.work(one),
                format.middle(point.speedup),
                format.percent(point.efficiency.mid if point.efficiency else None),
            )
        )
    return rows


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
    rows += [(f"event {one.kind}", f"{format_moment(one.at)} {one.text}") for one in run.events]
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
