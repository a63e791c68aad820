"""Cells of one curve -> speed-up and efficiency against the ideal, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, variance

from bench.analysis.results import CellSummary, CurvePoint, Interval
from bench.analysis.summary import LEVEL, t_quantile

WELCH = "ratio of geometric means, Welch t on log times"
BASE = "the worker count that the others are compared with"


def ratio(over: Sequence[float], under: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Return geometric mean of ``over`` / that of ``under`` (positive times, s) with an interval.

    None without times on both sides; without an interval where a side has one run only. Source:
    Welch, "The generalization of Student's problem when several different population variances
    are involved", Biometrika 34 (1947) 28-35, on the difference of mean log times, with the
    degrees of freedom of Satterthwaite, Biometrics Bulletin 2 (1946) 110-114, equation 17.
    """
    if not over or not under or min(*over, *under) <= 0:
        return None
    a, b = [math.log(x) for x in over], [math.log(x) for x in under]
    centre, n = fmean(a) - fmean(b), min(len(a), len(b))
    if n < 2:
        return Interval(
            mid=math.exp(centre), method=WELCH, n=n, note="one run on a side, no interval"
        )
    va, vb = variance(a) / len(a), variance(b) / len(b)
    half = 0.0
    if va + vb > 0:
        scale = max(va, vb)
        pa, pb = va / scale, vb / scale
        freedom = (pa + pb) ** 2 / (pa**2 / (len(a) - 1) + pb**2 / (len(b) - 1))
        half = t_quantile(0.5 + level / 2, freedom) * math.sqrt(va + vb)
    return Interval(
        mid=math.exp(centre),
        low=math.exp(centre - half),
        high=math.exp(centre + half),
        level=level,
        method=WELCH,
        n=n,
    )


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
        speedup = ratio([r.seconds for r in base.runs], [r.seconds for r in cell.runs], level)
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
