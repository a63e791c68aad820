"""Cells of one curve -> speed-up and efficiency against the ideal, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis.runs.blocks import gain
from bench.analysis.runs.grouping import CurveRuns, others
from bench.analysis.runs.types import CellSummary
from bench.analysis.scaling.types import Curve, CurvePoint, Scaling
from bench.analysis.statistics.interval import LEVEL
from bench.analysis.statistics.types import Interval

BASE = "the worker count that the others are compared with"


def scaling(
    lines: Sequence[CurveRuns], cells: Sequence[Sequence[CellSummary]], level: float = LEVEL
) -> Scaling:
    """Return a curve for each of ``lines``, whose cells are summarized in ``cells``."""
    return Scaling(
        curves=tuple(_curve(line, own, level) for line, own in zip(lines, cells, strict=True))
    )


def _curve(line: CurveRuns, cells: Sequence[CellSummary], level: float) -> Curve:
    """Return one curve, each point compared with the smallest worker count that was measured.

    Speed-up of a time is T(n_min) / T(n), efficiency speed-up * n_min / n (Kumar et al.,
    "Introduction to Parallel Computing", 2nd ed. 2003, section 5.2), ideal time
    T(n_min) * n_min / n. Of a metric of which more is better, speed-up is X(n) / X(n_min); of a
    rate (rows/s) the ideal is X(n_min) * n / n_min. Other metrics (latency, loss, score) have
    neither ideal nor efficiency: they are not expected to change in proportion to the workers.
    """
    first = line.groups[0].runs[0].cell
    ordered = sorted(cells, key=lambda cell: cell.workers)
    base = next((cell for cell in ordered if cell.value is not None), None)
    return Curve(
        label=line.label,
        workload=first.workload,
        environment=first.environment,
        metric=line.metric,
        engine=line.case.engine if line.case else None,
        task=line.task,
        dataset=line.case.dataset if line.case else "",
        factors=others(first.factors),
        points=tuple(_point(cell, base, level) for cell in ordered),
        base=base.workers if base else None,
    )


def _point(cell: CellSummary, base: CellSummary | None, level: float) -> CurvePoint:
    """Return one point; without a base or a number of its own it has no speed-up."""
    if base is None or base.value is None:
        return CurvePoint(cell=cell)
    metric, share = cell.metric, base.workers / cell.workers
    speedup: Interval | None = None
    if cell.workers == base.workers:
        positive = all(run.value > 0 for run in base.runs)
        if positive and metric.direction is not None:
            speedup = Interval(mid=1.0, method=BASE, n=len(cell.runs))
    elif cell.value is not None:
        speedup = gain(cell.runs, base.runs, metric, level)
    if not metric.scales:
        return CurvePoint(cell=cell, speedup=speedup)
    ideal = base.value.mid * (share if metric.direction == "lower" else 1 / share)
    return CurvePoint(cell=cell, ideal=ideal, speedup=speedup, efficiency=_scaled(speedup, share))


def _scaled(interval: Interval | None, factor: float) -> Interval | None:
    """Return the interval times a positive constant."""
    if interval is None:
        return None
    return Interval(
        mid=interval.mid * factor,
        low=None if interval.low is None else interval.low * factor,
        high=None if interval.high is None else interval.high * factor,
        level=interval.level,
        method=interval.method,
        n=interval.n,
        note=interval.note,
    )
