"""Every run, and why some do not count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from bench.analysis.runs.metrics import TIME_RULE, MetricRule
from bench.analysis.runs.types import RunRow
from bench.analysis.study_types import StudyAnalysis
from bench.records.study import PHASES
from bench.report import format, html
from bench.report.charts.figures import Figure
from bench.report.html import PageTable
from bench.report.markdown_blocks import table
from bench.report.section import Section
from bench.report.tables import Column, Table
from bench.text import plural

Run = Column[RunRow]
LOST = ("failed", "timeout")


class Group(NamedTuple):
    """The runs of one cell on the page, or those of earlier studies."""

    id: str
    label: str
    note: str
    table: PageTable


class Runs(Section):
    """The table of all runs, which is also ``runs.csv``; on the page it is cut by cell."""

    name = "runs"
    nav = "Runs"
    template = "sections/runs.html.j2"

    def tables(self, analysis: StudyAnalysis) -> Sequence[Table[RunRow]]:
        """Return the one table of runs."""
        return [runs(analysis.runs, metric=analysis.metric)]

    def view(self, analysis: StudyAnalysis) -> Mapping[str, object]:
        """Return the runs of each cell, then those of earlier studies."""
        return {"groups": list(_groups(analysis))}

    def markdown(self, analysis: StudyAnalysis, figures: Sequence[Figure]) -> Iterable[str]:
        """Return the runs that do not count."""
        lost = [row for row in analysis.runs if not row.counted]
        return ["## Runs that do not count", table(runs(lost))] if lost else []


def runs(
    rows: Sequence[RunRow],
    figures: Iterable[str] | None = None,
    metric: MetricRule = TIME_RULE,
) -> Table[RunRow]:
    """Return a table of runs, with a column for each of these quality figures.

    By default these are the figures that the runs have. ``metric`` is the headline.
    """
    figures = figures_of(rows) if figures is None else figures
    head = (*_RUN, *_headline(metric), *_PASSES)
    columns = (*head, *(_figure(name) for name in figures), *_MORE)
    return Table(name="runs", columns=columns, rows=rows, row_id=lambda r: r.run)


def figures_of(rows: Iterable[RunRow]) -> list[str]:
    """Return the names of the quality figures that the runs have."""
    return list(dict.fromkeys(name for row in rows for name in row.figures))


def _figure(name: str) -> Run:
    """Return the column of one figure; its CSV name is no other column's."""
    taken = {column.csv for column in (*_RUN, *_headline(TIME_RULE), *_PASSES, *_MORE)}
    taken |= {"value", "metric", "unit"}
    return Run(
        csv=f"quality.{name}" if name in taken else name,
        title=name,
        of=lambda r: r.figures.get(name),
        text=lambda r: format.number(r.figures.get(name), 9),
        number=True,
        where=("page",),
    )


def _headline(metric: MetricRule) -> tuple[Run, ...]:
    """Return the columns of the headline: of time, CSV has it under ``seconds``."""
    others = (Run(csv="metric", of=lambda _: metric.name), Run(csv="unit", of=lambda r: r.unit))
    return (
        *(() if metric.is_time else others),
        Run(
            csv="seconds" if metric.is_time else "value",
            title="time" if metric.is_time else metric.name,
            of=lambda r: r.value,
            text=lambda r: format.amount(r.value, r.unit),
            number=True,
            where=("page",),
        ),
    )


def _groups(analysis: StudyAnalysis) -> Iterator[Group]:
    figures = figures_of(analysis.runs)
    by_cell: dict[str | None, list[RunRow]] = {}
    for row in analysis.runs:
        by_cell.setdefault(row.cell, []).append(row)
    for cell in (point.cell for point in analysis.scaling.points):
        rows = by_cell[cell.id]
        yield Group(
            id=f"runs-{cell.id}",
            label=format.cell_label(cell.label, cell.workers),
            note=f"({plural(len(rows), 'run')}, {cell.counts.ok} counted)",
            table=html.page_table(runs(rows, figures, analysis.metric)),
        )
    if None in by_cell:
        yield Group(
            id="runs-earlier",
            label="Earlier studies",
            note=f"({plural(len(by_cell[None]), 'run')}, none counted)",
            table=html.page_table(runs(by_cell[None], figures, analysis.metric)),
        )


def _reason(row: RunRow) -> Markup:
    """Return a run's reason, and what happened to it as marks."""
    marks = [(event.kind, event.text) for event in row.events]
    marks += [(doubt.kind, doubt.text) for doubt in row.doubts]
    spans = (Markup(' <span class="mark">{}: {}</span>').format(*mark) for mark in marks)
    return Markup("{}{}").format(row.reason, Markup("").join(spans))


def _phase(name: str) -> Callable[[RunRow], float | None]:
    return lambda r: r.phases.get(name)


_RUN = (
    Run(
        csv="run",
        title="run",
        of=lambda r: r.run,
        html=lambda r: Markup("<code>{}</code>").format(r.run),
        where=("page", "markdown"),
    ),
    Run(csv="cell", of=lambda r: r.cell),
    Run(csv="workload", of=lambda r: r.workload),
    Run(csv="environment", of=lambda r: r.environment),
    Run(csv="workers", of=lambda r: r.workers),
    Run(csv="factors", of=lambda r: format.factors(r.factors)),
    Run(csv="repeat", title="repeat", of=lambda r: r.repeat, number=True, where=("page",)),
    Run(csv="attempt", title="attempt", of=lambda r: r.attempt, number=True, where=("page",)),
    Run(
        csv="status",
        title="status",
        of=lambda r: r.status,
        style=lambda r: "bad" if r.status in LOST else "",
        where=("page", "markdown"),
    ),
    Run(csv="reason", of=lambda r: r.reason),
    Run(csv="counted", of=lambda r: "yes" if r.counted else "no"),
    Run(csv="why_not", title="why", of=lambda r: r.why_not, where=("markdown",)),
)
_PASSES = (
    Run(csv="which", of=lambda r: r.which),
    Run(csv="cold", of=lambda r: r.passes[0] if r.passes else None),
)
_MORE = (
    Run(csv="workers_seen", of=lambda r: r.workers_seen),
    Run(csv="started_at", of=lambda r: r.started_at.isoformat()),
    Run(csv="session", of=lambda r: r.session),
    Run(csv="doubts", of=lambda r: "; ".join(f"{d.kind}: {d.text}" for d in r.doubts)),
    *(Run(csv=f"phase.{name}", of=_phase(name)) for name in PHASES),
    Run(
        title="counted",
        of=lambda r: "counted" if r.counted else f"no: {r.why_not}",
        where=("page",),
    ),
    Run(title="reason", of=lambda r: r.reason, where=("markdown",)),
    Run(title="reason and events", of=lambda r: r.reason, html=_reason, where=("page",)),
)
