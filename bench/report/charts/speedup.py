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
    """Draw speed-up of each curve, and efficiency where its metric scales with the workers."""
    curves = measured(curves)
    shown = [c for c in curves if sum(p.speedup is not None for p in c.points) > 1][:TOGETHER]
    if not shown:
        return None
    scaled = [curve for curve in shown if curve.metric.scales]
    figure = style.canvas(8.6, 3.6)
    left, *rest = figure.subplots(1, 2 if scaled else 1, squeeze=False)[0]
    for curve in shown:
        number = curves.index(curve)
        aside = shift(shown.index(curve), len(shown))
        _scaling_line(left, curve, number, aside, "speedup")
        for right in rest if curve in scaled else ():
            _scaling_line(right, curve, number, aside, "efficiency")
    _ideal(left, scaled)
    left.set_ylabel("speed-up (×)")
    left.set_title("Speed-up")
    for right in rest:
        right.axhline(100, linestyle="--", color=style.MUTED, linewidth=1.2)
        right.set_ylabel("efficiency (%)")
        right.set_title("Efficiency")
    for axis in (left, *rest):
        axis.set_ylim(bottom=0)
        worker_axis(axis, shown)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(labels)))
    return figure


def _ideal(axis: Axes, curves: Sequence[Curve]) -> None:
    """Draw linear speed-up where the curves have one base."""
    counts = sorted({p.cell.workers for c in curves for p in c.points})
    bases = {curve.base for curve in curves}
    if len(bases) == 1:
        base = counts[0] if None in bases else min(b for b in bases if b is not None)
        xs = [math.log2(count) for count in counts]
        ideal = [count / base for count in counts]
        axis.plot(xs, ideal, "--", color=style.MUTED, linewidth=1.2, label="ideal")


def _scaling_line(axis: Axes, curve: Curve, number: int, aside: float, name: str) -> None:
    """Draw one curve's speed-up, or its efficiency in percent."""
    colour, marker = look(number)
    factor = 100.0 if name == "efficiency" else 1.0
    pairs = [(point.cell.workers, getattr(point, name)) for point in curve.points]
    points = [(workers, value) for workers, value in pairs if value is not None]
    xs = [math.log2(workers) + aside for workers, _ in points]
    mids = [factor * value.mid for _, value in points]
    axis.plot(xs, mids, "-", color=colour, marker=marker, markersize=6, label=curve.label)
    intervals(axis, xs, [value for _, value in points], colour, factor)
