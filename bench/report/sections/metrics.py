"""Every metric that the workloads report, at every cell and for each item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.analysis.runs.types import MetricRow
from bench.analysis.statistics.types import Interval
from bench.analysis.study_types import StudyAnalysis
from bench.report import format, html, markdown_blocks
from bench.report.charts.figures import Figure
from bench.report.section import Section
from bench.report.tables import Column, Medium, Table

MOST_ITEMS = 20  # of a metric at one cell; CSV has all of them

Row = Column[MetricRow]
PAPER: tuple[Medium, ...] = ("page", "markdown")  # too long for a terminal


class Metrics(Section):
    """The table of metrics, which is also ``metrics.csv``."""

    name = "metrics"
    nav = "Metrics"
    template = "sections/metrics.html.j2"

    def applies(self, analysis: StudyAnalysis) -> bool:
        """Say whether anything but time was reported or declared."""
        return any(not row.metric.is_time for row in analysis.metrics) or bool(analysis.unreported)

    def tables(self, analysis: StudyAnalysis) -> Sequence[Table[MetricRow]]:
        """Return the one table of metrics."""
        return [metrics(analysis.metrics)]

    def view(self, analysis: StudyAnalysis) -> Mapping[str, object]:
        """Return the table, and which declared metrics nobody reported."""
        table = metrics(_shown(analysis.metrics))
        hidden = len(analysis.metrics) - len(table.rows)
        return {
            "table": html.page_table(table),
            "hidden": hidden,
            "most": MOST_ITEMS,
            "missing": _missing(analysis),
        }

    def markdown(self, analysis: StudyAnalysis, figures: Sequence[Figure]) -> Iterable[str]:
        """Return the same as Markdown."""
        table = markdown_blocks.table(metrics(_shown(analysis.metrics)))
        return ["## Metrics", table, markdown_blocks.bullets(_missing(analysis))]


def metrics(rows: Sequence[MetricRow]) -> Table[MetricRow]:
    """Return a table of metrics; a row for each cell, metric and item."""
    return Table(name="metrics", columns=_COLUMNS, rows=rows)


def _shown(rows: Sequence[MetricRow]) -> list[MetricRow]:
    """Return the rows without those of items beyond ``MOST_ITEMS`` of a metric at a cell."""
    seen: dict[tuple[str, str], int] = {}
    shown = []
    for row in rows:
        key = (row.cell, row.metric.name)
        seen[key] = seen.get(key, 0) + bool(row.item)
        if seen[key] <= MOST_ITEMS:
            shown.append(row)
    return shown


def _missing(analysis: StudyAnalysis) -> list[str]:
    """Return a sentence for each curve some of whose declared metrics nobody reported."""
    return [
        f"{one.label}: declared and not reported by any run that counts: {', '.join(one.names)}."
        for one in analysis.unreported
    ]


def _end(interval: Interval | None, name: str) -> float | None:
    return getattr(interval, name) if interval is not None else None


_COLUMNS = (
    Row(csv="cell", of=lambda r: r.cell),
    Row(csv="curve", title="curve", of=lambda r: r.label, where=PAPER),
    Row(csv="workers", title="workers", of=lambda r: r.workers, number=True, where=PAPER),
    Row(csv="metric", title="metric", of=lambda r: r.metric.name, where=PAPER),
    Row(csv="item", title="item", of=lambda r: r.item, text=lambda r: r.item or "all", where=PAPER),
    Row(csv="unit", of=lambda r: r.metric.unit),
    Row(
        csv="direction",
        title="better",
        of=lambda r: r.metric.direction,
        text=lambda r: r.metric.direction or "not declared",
        where=PAPER,
    ),
    Row(
        csv="value",
        title="value",
        of=lambda r: _end(r.value, "mid"),
        text=lambda r: format.format_estimate(r.value, r.metric.unit),
        number=True,
        where=PAPER,
    ),
    Row(
        title="interval",
        of=lambda r: r.value,
        text=lambda r: format.format_interval(r.value, r.metric.unit),
        number=True,
        where=PAPER,
    ),
    Row(csv="low", of=lambda r: _end(r.value, "low")),
    Row(csv="high", of=lambda r: _end(r.value, "high")),
    Row(csv="level", of=lambda r: r.value.level if r.value else None),
    Row(csv="method", of=lambda r: r.value.method if r.value else None),
    Row(csv="n", title="n", of=lambda r: r.value.n if r.value else 0, number=True, where=PAPER),
    Row(csv="which", of=lambda r: r.which),
)
