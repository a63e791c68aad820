"""The headline metric over worker count: every run, the intervals, the ideal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.analysis.scaling.types import Curve
from bench.report.charts import style
from bench.report.charts.curves import TOGETHER, intervals, look, measured, shift, worker_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

MOST_PANELS = 24
FAR_APART = 6.0  # curves whose values differ more get a panel each
MOST_VECTOR_DOTS = 1500


def headline(curves: Sequence[Curve], label: str) -> Canvas | None:
    """Draw every run's number and the interval over the worker count.

    ``label`` names the metric and its unit. The axis begins at zero where no number is below it.
    """
    curves = measured(curves)
    if not curves:
        return None
    tops = [max(abs(p.cell.value.mid) for p in c.points if p.cell.value) for c in curves]
    one = len(curves) <= TOGETHER and max(tops) <= FAR_APART * min(tops)
    lowest = min(run.value for c in curves for p in c.points for run in p.cell.runs)
    groups = [curves] if one else [[curve] for curve in curves[:MOST_PANELS]]
    figure, axes = _grid(len(groups), 3.4, wide=one)
    dots = sum(len(p.cell.runs) for curve in curves for p in curve.points)
    for axis, group in zip(axes, groups, strict=True):
        for curve in group:
            number = curves.index(curve)
            aside = shift(group.index(curve), len(group))
            _curve(axis, curve, number, aside, dots > MOST_VECTOR_DOTS)
        if lowest >= 0:
            axis.set_ylim(bottom=0)
        axis.set_ylabel(label)
        worker_axis(axis, group)
        _caption(axis, group)
    return figure


def _curve(axis: Axes, curve: Curve, number: int, aside: float, raster: bool) -> None:
    """Draw one curve: ideal line, middle line, intervals, dots beside them."""
    colour, marker = look(number)
    points = [point for point in curve.points if point.cell.value is not None]
    xs = [math.log2(point.cell.workers) + aside for point in points]
    mids = [point.cell.value.mid for point in points if point.cell.value]
    ideal = [point.ideal if point.ideal is not None else math.nan for point in points]
    if len(points) > 1:
        axis.plot(xs, ideal, "--", color=colour, alpha=0.55, linewidth=1.2)
    axis.plot(xs, mids, "-", color=colour, marker=marker, markersize=6, label=curve.label)
    intervals(axis, xs, [point.cell.value for point in points], colour)
    across, up = [], []
    for x, point in zip(xs, points, strict=True):
        for i, run in enumerate(point.cell.runs):
            across.append(x + 0.035 + 0.012 * (i % 4))
            up.append(run.value)
    axis.scatter(
        across, up, s=13, color=colour, alpha=0.65, linewidths=0, zorder=3, rasterized=raster
    )


def _caption(axis: Axes, group: Sequence[Curve]) -> None:
    """Name one curve in the title, several in a legend."""
    if len(group) == 1:
        axis.set_title(group[0].label)
    else:
        axis.legend(loc="best", fontsize=8.5)


def _grid(count: int, height: float, *, wide: bool) -> tuple[Canvas, list[Axes]]:
    """Return a figure with ``count`` panels, at most two side by side (one if ``wide``)."""
    columns = 1 if wide else min(2, count)
    rows = math.ceil(count / columns)
    figure = style.canvas(8.6, height * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for spare in axes[count:]:
        spare.set_visible(False)
    return figure, list(axes[:count])
