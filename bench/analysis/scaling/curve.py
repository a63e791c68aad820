"""Cells of one curve -> speed-up and efficiency against the ideal, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis.runs.blocks import compared
from bench.analysis.runs.types import CellSummary, CurvePoint
from bench.analysis.statistics.interval import LEVEL
from bench.analysis.statistics.types import Interval

BASE = "the worker count that the others are compared with"


def points(cells: Sequence[CellSummary], level: float = LEVEL) -> tuple[CurvePoint, ...]:
    """Return the points of one curve by worker count, compared with its smallest measured one.

    Speed-up is T(n_min) / T(n), efficiency speed-up * n_min / n (Kumar et al., "Introduction to
    Parallel Computing", 2nd ed. 2003, section 5.2), ideal time T(n_min) * n_min / n.
    """
    ordered = sorted(cells, key=lambda cell: cell.workers)
    base = base_of(ordered)
    return tuple(_point(cell, base, level) for cell in ordered)


def base_of(cells: Sequence[CellSummary]) -> CellSummary | None:
    """Return the cell with the smallest worker count that has a time, if any."""
    measured = [cell for cell in cells if cell.seconds is not None]
    return min(measured, key=lambda cell: cell.workers) if measured else None


def _point(cell: CellSummary, base: CellSummary | None, level: float) -> CurvePoint:
    """Return one point; without a base or a time of its own it has no speed-up."""
    if base is None or base.seconds is None:
        return CurvePoint(workers=cell.workers, runs=cell.runs)
    share = base.workers / cell.workers
    speedup: Interval | None = None
    if cell.workers == base.workers:
        speedup = Interval(mid=1.0, method=BASE, n=len(cell.runs))
    elif cell.seconds is not None:
        speedup = compared(base.runs, cell.runs, level)
    return CurvePoint(
        workers=cell.workers,
        seconds=cell.seconds,
        runs=cell.runs,
        ideal=base.seconds.mid * share,
        speedup=speedup,
        efficiency=_scaled(speedup, share),
    )


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
