"""Speed-up and efficiency over worker count, against the ideal."""

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


def speedup(curves: Sequence[Curve]) -> Canvas | None:
    """Draw speed-up and efficiency of each curve against the ideal."""
    curves = measured(curves)
    shown = [c for c in curves if sum(p.speedup is not None for p in c.points) > 1][:TOGETHER]
    if not shown:
        return None
    figure = style.canvas(8.6, 3.6)
    left, right = figure.subplots(1, 2)
    for curve in shown:
        number = curves.index(curve)
        aside = shift(shown.index(curve), len(shown))
        _scaling_line(left, curve, number, aside, "speedup")
        if any(point.efficiency is not None for point in curve.points):
            _scaling_line(right, curve, number, aside, "efficiency")
    counts = sorted({p.cell.workers for c in shown for p in c.points})
    xs = [math.log2(count) for count in counts]
    bases = {curve.base for curve in shown}
    if len(bases) == 1:
        base = counts[0] if None in bases else min(b for b in bases if b is not None)
        ideal = [count / base for count in counts]
        left.plot(xs, ideal, "--", color=style.MUTED, linewidth=1.2, label="ideal")
    right.axhline(100, linestyle="--", color=style.MUTED, linewidth=1.2)
    left.set_ylabel("speed-up (×)")
    right.set_ylabel("efficiency (%)")
    left.set_title("Speed-up")
    right.set_title("Efficiency")
    for axis in (left, right):
        axis.set_ylim(bottom=0)
        worker_axis(axis, shown)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(labels)))
    return figure


def _scaling_line(axis: Axes, curve: Curve, number: int, aside: float, name: str) -> None:
    """Draw one curve's speed-up, or its efficiency in percent."""
    colour, marker = look(number)
    factor = 100.0 if name == "efficiency" else 1.0
    found = [(point.cell.workers, getattr(point, name)) for point in curve.points]
    points = [(workers, value) for workers, value in found if value is not None]
    xs = [math.log2(workers) + aside for workers, _ in points]
    mids = [factor * value.mid for _, value in points]
    axis.plot(xs, mids, "-", color=colour, marker=marker, markersize=6, label=curve.label)
    intervals(axis, xs, [value for _, value in points], colour, factor)
