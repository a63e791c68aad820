"""Samples over time: CPU, memory and GPUs of runs, a row for each run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.analysis.runs.types import Gpu, Series, Utilization
from bench.report.charts import style
from bench.text import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

TOGETHER = 6  # lines that one panel holds
MOST_PANELS = 24


def utilization(runs: Sequence[Utilization]) -> Canvas | None:
    """Draw CPU (cores' worth) and memory (GiB) over time, a row a curve, a line a scope."""
    rows = runs[:MOST_PANELS]
    if not rows:
        return None
    figure = style.canvas(8.6, 0.5 + 2.3 * len(rows))
    axes = figure.subplots(len(rows), 2, squeeze=False)
    for (left, right), run in zip(axes, rows, strict=True):
        for number, series in enumerate(run.series[:TOGETHER]):
            colour = style.SERIES[number]
            _line(left, series, series.cpu, 1.0, colour, mean=True)
            _line(right, series, series.memory, 2.0**30, colour)
        left.set_title(f"{run.label}, {plural(run.workers, 'worker')}")
        _over_time((left, "CPU (cores in use)"), (right, "memory in use (GiB)"))
    return figure


def gpus(runs: Sequence[Utilization]) -> Canvas | None:
    """Draw busy time (%), memory (GiB) and power (W) of GPUs, a row a curve, a line a GPU."""
    rows = [run for run in runs if run.gpus][:MOST_PANELS]
    if not rows:
        return None
    figure = style.canvas(8.6, 0.5 + 2.3 * len(rows))
    axes = figure.subplots(len(rows), 3, squeeze=False)
    for (left, middle, right), run in zip(axes, rows, strict=True):
        for number, gpu in enumerate(run.gpus[:TOGETHER]):
            colour = style.SERIES[number]
            _line(left, gpu, gpu.utilization, 0.01, colour)
            _line(middle, gpu, gpu.memory, 2.0**30, colour)
            _line(right, gpu, gpu.power, 1.0, colour)
        left.set_title(f"{run.label}, {plural(run.workers, 'worker')}")
        _over_time((left, "GPU busy (%)"), (middle, "GPU memory (GiB)"), (right, "power (W)"))
    return figure


def _over_time(*axes: tuple[Axes, str]) -> None:
    """Label axes over time, from zero on, with the legend on the first that has lines."""
    for axis, text in axes:
        axis.set_ylabel(text)
        axis.set_xlabel("time (s)")
        axis.set_ylim(bottom=0)
        axis.set_xlim(left=0)
    drawn = next((axis for axis, _ in axes if axis.get_lines()), None)
    if drawn is not None:
        drawn.legend(loc="best", fontsize=8)


def _line(
    axis: Axes,
    series: Series | Gpu,
    values: Sequence[float | None],
    unit: float,
    colour: str,
    *,
    mean: bool = False,
) -> None:
    """Draw one scope; gaps stay gaps, and nothing is drawn where nothing was sampled.

    A ``mean`` is drawn over the time that it is of: since the sample before.
    """
    if any(value is not None for value in values):
        ys = [math.nan if value is None else value / unit for value in values]
        (line,) = axis.plot(series.t, ys, "-", color=colour, linewidth=1.4, label=series.scope)
        line.set_drawstyle("steps-pre" if mean else "default")
