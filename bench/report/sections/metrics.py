"""Every metric that the runs report, at each point of the curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.analysis.runs.types import MetricRow
from bench.analysis.study_types import StudyAnalysis
from bench.report import format, html
from bench.report.charts.figures import Figure
from bench.report.markdown_blocks import bullets, table
from bench.report.section import Section
from bench.report.tables import Column, Table

MOST_ITEMS = 20  # of a metric at a cell that people are shown; CSV has all

Row = Column[MetricRow]


class Metrics(Section):
    """The table of all metrics, which is also ``metrics.csv``."""

    name = "metrics"
    nav = "Metrics"
    template = "sections/metrics.html.j2"

    def applies(self, analysis: StudyAnalysis) -> bool:
        """Say whether there is any metric besides time."""
        return bool(analysis.unreported) or any(not r.metric.is_time for r in analysis.metrics)

    def tables(self, analysis: StudyAnalysis) -> Sequence[Table[MetricRow]]:
        """Return the whole table, for the file."""
        return [Table(name="metrics", columns=_FILE, rows=analysis.metrics)]

    def view(self, analysis: StudyAnalysis) -> Mapping[str, object]:
        """Return the table for people, and what is not in it."""
        return {"table": html.page_table(_shown(analysis)), "sentences": _sentences(analysis)}

    def markdown(self, analysis: StudyAnalysis, figures: Sequence[Figure]) -> Iterable[str]:
        """Return the table for people, and what is not in it."""
        yield "## Metrics"
        yield table(_shown(analysis)) if analysis.metrics else ""
        yield bullets(_sentences(analysis))


def _shown(analysis: StudyAnalysis) -> Table[MetricRow]:
    """Return the table for people."""
    kept = [row for group in _groups(analysis) for row in group[: 1 + MOST_ITEMS]]
    return Table(columns=_PEOPLE, rows=kept)


def _groups(analysis: StudyAnalysis) -> list[list[MetricRow]]:
    """Return each metric at each cell with its items; an only one that adds nothing is left out."""
    groups: list[list[MetricRow]] = []
    for row in analysis.metrics:
        groups += [] if row.item else [[]]
        groups[-1].append(row)
    return [
        group[:1] if len(group) == 2 and group[0].value == group[1].value else group
        for group in groups
    ]


def _sentences(analysis: StudyAnalysis) -> list[str]:
    """Say what the table leaves out: items beyond the first, metrics that nobody reported."""
    hidden = sum(max(0, len(group) - 1 - MOST_ITEMS) for group in _groups(analysis))
    found = [
        f"{one.label}: declared by the workload and reported by no run that counts: "
        f"{', '.join(one.names)}."
        for one in analysis.unreported
    ]
    if hidden:
        found.append(
            f"Of each metric at a cell the first {MOST_ITEMS} items are shown; {hidden} more are "
            "in metrics.csv."
        )
    return found


def _end(row: MetricRow, name: str) -> float | None:
    return getattr(row.value, name) if row.value is not None else None


_PEOPLE = (
    Row(title="curve", of=lambda r: r.label),
    Row(title="workers", of=lambda r: r.workers, number=True),
    Row(title="metric", of=lambda r: r.metric.name),
    Row(title="item", of=lambda r: r.item or "all"),
    Row(title="better", of=lambda r: r.metric.direction or "not known"),
    Row(
        title="middle",
        of=lambda r: _end(r, "mid"),
        text=lambda r: format.format_estimate(r.value, r.metric.unit),
        number=True,
    ),
    Row(
        title="interval",
        of=lambda r: r.value,
        text=lambda r: format.format_interval(r.value, r.metric.unit),
        number=True,
    ),
    Row(title="n", of=lambda r: _end(r, "n"), number=True),
    Row(title="of a run", of=lambda r: r.which, style=lambda r: "quiet", where=("page",)),
)
_FILE = (
    Row(csv="cell", of=lambda r: r.cell),
    Row(csv="curve", of=lambda r: r.label),
    Row(csv="workers", of=lambda r: r.workers),
    Row(csv="metric", of=lambda r: r.metric.name),
    Row(csv="unit", of=lambda r: r.metric.unit),
    Row(csv="direction", of=lambda r: r.metric.direction),
    Row(csv="item", of=lambda r: r.item),
    Row(csv="value", of=lambda r: _end(r, "mid")),
    Row(csv="low", of=lambda r: _end(r, "low")),
    Row(csv="high", of=lambda r: _end(r, "high")),
    Row(csv="level", of=lambda r: _end(r, "level")),
    Row(csv="n", of=lambda r: _end(r, "n")),
    Row(csv="method", of=lambda r: r.value.method if r.value is not None else None),
    Row(csv="which", of=lambda r: r.which),
)
