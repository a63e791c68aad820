"""What charts over the worker count share: a look for each curve, its intervals, the axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.analysis.scaling.types import Curve
from bench.analysis.statistics.types import Interval
from bench.report.charts import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TOGETHER = 6  # curves that one panel holds


def measured(curves: Sequence[Curve]) -> list[Curve]:
    """Return the curves that have at least one number."""
    return [curve for curve in curves if any(p.cell.value is not None for p in curve.points)]


def look(number: int) -> tuple[str, str]:
    """Return colour and marker of a curve by its position."""
    n = len(style.SERIES)
    return style.SERIES[number % n], style.MARKERS[number % n]


def shift(position: int, count: int) -> float:
    """Return how far (in log2 workers) a curve is moved aside so that intervals do not overlap."""
    return 0.06 * (position - (count - 1) / 2)


def intervals(
    axis: Axes,
    xs: Sequence[float],
    estimates: Sequence[Interval | None],
    colour: str,
    factor: float = 1.0,
) -> None:
    """Draw vertical bars for the intervals that exist."""
    for x, one in zip(xs, estimates, strict=True):
        if one is not None and one.low is not None and one.high is not None:
            below, above = factor * (one.mid - one.low), factor * (one.high - one.mid)
            axis.errorbar(
                [x],
                [factor * one.mid],
                yerr=[[max(0.0, below)], [max(0.0, above)]],
                color=colour,
                capsize=4,
                linewidth=1.6,
            )


def worker_axis(axis: Axes, curves: Sequence[Curve]) -> None:
    """Label the axis (log2) with the worker counts that were measured."""
    counts = sorted({point.cell.workers for curve in curves for point in curve.points})
    axis.set_xticks([math.log2(count) for count in counts], [str(count) for count in counts])
    axis.set_xlim(math.log2(counts[0]) - 0.35, math.log2(counts[-1]) + 0.35)
    axis.set_xlabel("workers")
    axis.grid(False, axis="x")
