"""The cells: one row for each worker count of a curve, with its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from markupsafe import Markup

from bench.analysis.runs.metrics import MetricRule
from bench.analysis.runs.types import Share
from bench.analysis.scaling.types import CurvePoint
from bench.analysis.statistics.types import Interval
from bench.analysis.study_types import StudyAnalysis
from bench.report import format, html
from bench.report.charts.figures import Figure
from bench.report.markdown_blocks import table
from bench.report.section import Section
from bench.report.tables import Column, Table

Cell = Column[CurvePoint]


class Cells(Section):
    """The table of all cells, which is also ``cells.csv``."""

    name = "cells"
    nav = "Cells"
    template = "sections/cells.html.j2"

    def tables(self, analysis: StudyAnalysis) -> Sequence[Table[CurvePoint]]:
        """Return the one table of cells."""
        return [cells(analysis)]

    def view(self, analysis: StudyAnalysis) -> Mapping[str, object]:
        """Return the table, and how its times were made."""
        points = [point.cell for point in analysis.scaling.points]
        methods = dict.fromkeys(cell.value.method for cell in points if cell.value)
        which = dict.fromkeys(cell.which for cell in points if cell.which)
        return {
            "table": html.page_table(cells(analysis)),
            "methods": "; ".join(methods) or "none",
            "which": "; ".join(which) or "none",
            "what": _heading(analysis.metric),
            "level": format.percent(analysis.level),
        }

    def markdown(self, analysis: StudyAnalysis, figures: Sequence[Figure]) -> Iterable[str]:
        """Return one row for each cell."""
        rows = table(cells(analysis)) if analysis.scaling.points else "No cells."
        return ["## Cells", rows]


def cells(analysis: StudyAnalysis) -> Table[CurvePoint]:
    """Return the table of all cells; its CSV has a column for each phase and pipeline stage."""
    points = analysis.scaling.points
    return Table(
        name="cells",
        title=analysis.title,
        columns=(
            *_IDENTITY,
            *_headline(analysis.metric),
            *_FIGURES,
            *_SCALING,
            *_medians(points),
        ),
        rows=points,
        row_id=lambda p: p.cell.id,
        alert=lambda p: _lost(p) > 0,
    )


def _heading(metric: MetricRule) -> str:
    """Return the headline's name as a heading."""
    return "time" if metric.is_time else metric.name


def _headline(metric: MetricRule) -> tuple[Cell, ...]:
    """Return the columns of the headline: of time, CSV has it under ``seconds``."""
    others = (
        Cell(csv="metric", of=lambda p: p.cell.metric.name),
        Cell(csv="unit", of=lambda p: p.cell.metric.unit),
        Cell(csv="direction", of=lambda p: p.cell.metric.direction),
    )
    return (
        *(() if metric.is_time else others),
        Cell(
            csv="seconds" if metric.is_time else "value",
            title=_heading(metric),
            of=lambda p: _end(p.cell.value, "mid"),
            text=lambda p: format.format_estimate(p.cell.value, p.cell.metric.unit),
            style=lambda _: "strong",
            number=True,
        ),
        Cell(
            title="interval",
            of=lambda p: p.cell.value,
            text=lambda p: format.format_interval(p.cell.value, p.cell.metric.unit),
            number=True,
        ),
        Cell(csv="low", of=lambda p: _end(p.cell.value, "low")),
        Cell(csv="high", of=lambda p: _end(p.cell.value, "high")),
        Cell(csv="level", of=lambda p: p.cell.value.level if p.cell.value else None),
        Cell(csv="method", of=lambda p: p.cell.value.method if p.cell.value else None),
    )


def _lost(point: CurvePoint) -> int:
    return point.cell.counts.failed + point.cell.counts.timeout


def _end(interval: Interval | None, name: str) -> float | None:
    """Return ``mid``, ``low``, ``high`` of an interval, None without one."""
    return getattr(interval, name) if interval is not None else None


def _wall_and_cpu(point: CurvePoint) -> str:
    """Return wall and CPU time of the work side by side: "12.3 s / 20.1 s"."""
    if point.cell.worker_cpu is None:
        return format.ABSENT
    return f"{format.seconds(point.cell.wall)} / {format.seconds(point.cell.worker_cpu)}"


def _phases(point: CurvePoint) -> str:
    """Return the medians of a cell's phases in one text."""
    return ", ".join(f"{share.name} {format.seconds(share.seconds)}" for share in point.cell.phases)


_IDENTITY = (
    Cell(csv="cell", of=lambda p: p.cell.id),
    Cell(csv="curve", title="curve", of=lambda p: p.cell.label),
    Cell(csv="workload", of=lambda p: p.cell.workload),
    Cell(csv="environment", of=lambda p: p.cell.environment),
    Cell(csv="workers", title="workers", of=lambda p: p.cell.workers, number=True),
    Cell(
        csv="factors",
        of=lambda p: format.factors({k: v for k, v in p.cell.factors.items() if k != "workers"}),
    ),
    Cell(
        csv="n",
        title="n",
        of=lambda p: p.cell.counts.ok,
        html=lambda p: Markup('<a href="#runs-{}">{}</a>').format(p.cell.id, p.cell.counts.ok),
        number=True,
    ),
    Cell(
        title="failed",
        of=_lost,
        style=lambda p: "bad" if _lost(p) else "",
        number=True,
    ),
    Cell(csv="failed", of=lambda p: p.cell.counts.failed),
    Cell(csv="timeout", of=lambda p: p.cell.counts.timeout),
    Cell(csv="skipped", of=lambda p: p.cell.counts.skipped),
    Cell(csv="superseded", of=lambda p: p.cell.counts.superseded),
)
_FIGURES = (
    Cell(csv="which", of=lambda p: p.cell.which),
    Cell(
        csv="cv",
        title="CV",
        of=lambda p: p.cell.cv,
        text=lambda p: format.percent(p.cell.cv),
        number=True,
    ),
    Cell(
        csv="cold",
        title="cold pass",
        of=lambda p: p.cell.cold,
        text=lambda p: format.seconds(p.cell.cold),
        number=True,
        where=("page",),
    ),
    Cell(title="wall / CPU", of=lambda p: p.cell.wall, text=_wall_and_cpu, number=True),
    Cell(csv="worker_cpu", of=lambda p: p.cell.worker_cpu),
    Cell(csv="wall", of=lambda p: p.cell.wall),
    Cell(csv="warmup_p", of=lambda p: p.cell.warmup.p if p.cell.warmup else None),
    Cell(csv="doubts", of=lambda p: "; ".join(f"{d.run}: {d.kind}" for d in p.cell.doubts)),
    Cell(csv="note", of=lambda p: p.cell.note),
)
_SCALING = (
    Cell(
        csv="speedup",
        title="speed-up",
        of=lambda p: _end(p.speedup, "mid"),
        text=lambda p: format.format_estimate(p.speedup),
        number=True,
    ),
    Cell(csv="speedup_low", of=lambda p: _end(p.speedup, "low")),
    Cell(csv="speedup_high", of=lambda p: _end(p.speedup, "high")),
    Cell(
        csv="efficiency",
        title="efficiency",
        of=lambda p: _end(p.efficiency, "mid"),
        text=lambda p: format.percent(_end(p.efficiency, "mid")),
        number=True,
    ),
    Cell(csv="efficiency_low", of=lambda p: _end(p.efficiency, "low")),
    Cell(csv="efficiency_high", of=lambda p: _end(p.efficiency, "high")),
    Cell(
        title="phases (median)",
        of=_phases,
        style=lambda _: "quiet",
        where=("page", "markdown"),
    ),
)


def _medians(points: Sequence[CurvePoint]) -> list[Cell]:
    """Return a column of median seconds for each phase and pipeline stage that a cell has."""
    phases = dict.fromkeys(share.name for p in points for share in p.cell.phases)
    stages = dict.fromkeys(share.name for p in points for share in p.cell.stages)
    return [
        *(Cell(csv=f"phase.{name}", of=_share(name, lambda p: p.cell.phases)) for name in phases),
        *(Cell(csv=f"stage.{name}", of=_share(name, lambda p: p.cell.stages)) for name in stages),
    ]


def _share(
    name: str, shares: Callable[[CurvePoint], Sequence[Share]]
) -> Callable[[CurvePoint], float | None]:
    """Return what reads one phase's or stage's median seconds from a point."""
    return lambda p: next((share.seconds for share in shares(p) if share.name == name), None)
