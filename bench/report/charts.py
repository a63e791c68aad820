"""What each figure draws. Every function returns None where there is nothing to draw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bench.analysis.runs.types import Curve, Gpu, Series, Share
from bench.analysis.statistics.types import Interval
from bench.analysis.study_types import StudyAnalysis
from bench.report import style
from bench.text import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

TOGETHER = 6  # curves that one panel holds
MOST_PANELS = 24
FAR_APART = 6.0  # curves whose times differ more get a panel each
MOST_VECTOR_DOTS = 1500
MOST_BARS = 48
LONG_NAME = 16  # letters from which a legend's names take more room


def time(overview: StudyAnalysis) -> Canvas | None:
    """Draw every run's time and the interval over the worker count, zero-based."""
    curves = _measured(overview)
    if not curves:
        return None
    tops = [max(p.seconds.mid for p in c.points if p.seconds) for c in curves]
    one = len(curves) <= TOGETHER and max(tops) <= FAR_APART * min(tops)
    groups = [curves] if one else [[curve] for curve in curves[:MOST_PANELS]]
    figure, axes = _grid(len(groups), 3.4, wide=one)
    dots = sum(len(p.runs) for curve in curves for p in curve.points)
    for axis, group in zip(axes, groups, strict=True):
        for curve in group:
            number = curves.index(curve)
            shift = _shift(group.index(curve), len(group))
            _curve_times(axis, curve, number, shift, dots > MOST_VECTOR_DOTS)
        axis.set_ylim(bottom=0)
        axis.set_ylabel("time of the work (s)")
        _worker_axis(axis, group)
        _caption(axis, group)
    return figure


def _curve_times(axis: Axes, curve: Curve, number: int, shift: float, raster: bool) -> None:
    """Draw one curve: ideal line, middle line, intervals, dots beside them."""
    colour, marker = _look(number)
    points = [point for point in curve.points if point.seconds is not None]
    xs = [math.log2(point.workers) + shift for point in points]
    mids = [point.seconds.mid for point in points if point.seconds]
    ideal = [point.ideal if point.ideal is not None else math.nan for point in points]
    if len(points) > 1:
        axis.plot(xs, ideal, "--", color=colour, alpha=0.55, linewidth=1.2)
    axis.plot(xs, mids, "-", color=colour, marker=marker, markersize=6, label=curve.label)
    _bars(axis, xs, [point.seconds for point in points], colour)
    across, up = [], []
    for x, point in zip(xs, points, strict=True):
        for i, run in enumerate(point.runs):
            across.append(x + 0.035 + 0.012 * (i % 4))
            up.append(run.seconds)
    axis.scatter(
        across, up, s=13, color=colour, alpha=0.65, linewidths=0, zorder=3, rasterized=raster
    )


def scaling(overview: StudyAnalysis) -> Canvas | None:
    """Draw speed-up and efficiency of each curve against the ideal."""
    curves = [c for c in _measured(overview) if sum(p.speedup is not None for p in c.points) > 1]
    if not curves:
        return None
    shown = curves[:TOGETHER]
    figure = style.canvas(8.6, 3.6)
    left, right = figure.subplots(1, 2)
    for curve in shown:
        number = _measured(overview).index(curve)
        shift = _shift(shown.index(curve), len(shown))
        _scaling_line(left, curve, number, shift, "speedup")
        _scaling_line(right, curve, number, shift, "efficiency")
    counts = sorted({p.workers for c in shown for p in c.points})
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
        _worker_axis(axis, shown)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(labels)))
    return figure


def _scaling_line(axis: Axes, curve: Curve, number: int, shift: float, name: str) -> None:
    """Draw one curve's speed-up, or its efficiency in percent."""
    colour, marker = _look(number)
    factor = 100.0 if name == "efficiency" else 1.0
    found = [(point.workers, getattr(point, name)) for point in curve.points]
    points = [(workers, value) for workers, value in found if value is not None]
    xs = [math.log2(workers) + shift for workers, _ in points]
    mids = [factor * value.mid for _, value in points]
    axis.plot(xs, mids, "-", color=colour, marker=marker, markersize=6, label=curve.label)
    _bars(axis, xs, [value for _, value in points], colour, factor)


def phases(overview: StudyAnalysis) -> Canvas | None:
    """Draw the median seconds of each phase as stacked bars, one a cell."""
    rows = [Bar(cell.curve, cell.workers, _parts(cell.phases)) for cell in overview.cells]
    return _stacked(overview, rows, "median time of a run (s)")


def stages(overview: StudyAnalysis) -> Canvas | None:
    """Draw the median seconds of each pipeline stage as stacked bars, one a cell."""
    rows = [Bar(cell.curve, cell.workers, _parts(cell.stages)) for cell in overview.cells]
    return _stacked(overview, rows, "median time of a pass (s)")


def losses(overview: StudyAnalysis) -> Canvas | None:
    """Draw what the time of one run for each worker count went to; small parts are together."""
    points = [(one.curve, point) for one in overview.losses for point in one.points]
    sizes: dict[str, float] = {}
    for _, point in points:
        for part in point.attribution.parts:
            sizes[part.name] = max(sizes.get(part.name, 0.0), part.share or 0.0)
    kept = sorted(sizes, key=lambda name: -sizes[name])[: len(style.PARTS) - 1]
    rows = []
    for curve, point in points:
        parts = {part.name: part.seconds for part in point.attribution.parts}
        shown = {name: parts[name] for name in kept if name in parts}
        rest = sum(parts.values()) - sum(shown.values())
        rows.append(Bar(curve, point.workers, shown | ({"other": rest} if rest > 0 else {})))
    return _stacked(overview, rows, "time of the work (s)")


class Bar(NamedTuple):
    """A stacked bar of one curve at a worker count: the seconds of its parts by name."""

    curve: str
    workers: int
    parts: Mapping[str, float]


def _parts(shares: Sequence[Share]) -> dict[str, float]:
    return {share.name: share.seconds for share in shares}


def _stacked(overview: StudyAnalysis, bars: Sequence[Bar], label: str) -> Canvas | None:
    """Draw horizontal stacked bars, grouped by curve, the largest parts labelled."""
    bars = [bar for bar in bars if bar.parts][:MOST_BARS]
    if not bars:
        return None
    names = list(dict.fromkeys(name for bar in bars for name in bar.parts))
    labels = {curve.id: curve.label for curve in overview.curves}
    groups = {bar.curve: [one for one in bars if one.curve == bar.curve] for bar in bars}
    heights = [len(group) + 0.9 for group in groups.values()]
    figure = style.canvas(8.6, 0.9 + 0.36 * sum(heights))
    axes = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    totals = {
        curve: max(sum(bar.parts.values()) for bar in group) for curve, group in groups.items()
    }
    shared = max(totals.values()) if max(totals.values()) <= FAR_APART * min(totals.values()) else 0
    for axis, (curve, group) in zip(axes, groups.items(), strict=True):
        longest = shared or totals[curve] or 1.0
        _bar_group(axis, group, names, longest)
        axis.set_title(labels[curve])
    axes[-1].set_xlabel(label)
    from matplotlib.patches import Patch

    handles = [Patch(color=_part(names, name), label=name) for name in names]
    most = 6 if max(map(len, names)) < LONG_NAME else 4
    figure.legend(handles=handles, loc="outside lower center", ncols=min(most, len(names)))
    return figure


def _bar_group(
    axis: Axes,
    bars: Sequence[Bar],
    names: Sequence[str],
    longest: float,
) -> None:
    """Draw the bars of one curve; a part over 8 % of ``longest`` (s) carries its seconds."""
    for y, bar in enumerate(bars):
        left = 0.0
        for name, seconds in bar.parts.items():
            colour = _part(names, name)
            axis.barh(
                y,
                seconds,
                left=left,
                height=0.66,
                color=colour,
                edgecolor=style.PAPER,
                linewidth=0.8,
            )
            if seconds > 0.08 * longest:
                middle = left + seconds / 2
                text = f"{seconds:.3g}"
                axis.text(middle, y, text, ha="center", va="center", color="#fefefe", fontsize=8.5)
            left += seconds
    axis.set_yticks(range(len(bars)), [plural(bar.workers, "worker") for bar in bars])
    axis.set_ylim(len(bars) - 0.5, -0.5)
    axis.set_xlim(0, longest * 1.02)
    axis.grid(False, axis="y")


def _part(names: Sequence[str], name: str) -> str:
    """Return the colour of a phase or stage; what is left over is grey."""
    if name in ("other", "queue"):
        return style.PARTS[0]
    coloured = [n for n in names if n not in ("other", "queue")]
    return style.PARTS[1 + coloured.index(name) % (len(style.PARTS) - 1)]


def utilization(overview: StudyAnalysis) -> Canvas | None:
    """Draw CPU (cores' worth) and memory (GiB) over time, a row a curve, a line a scope."""
    rows = overview.utilization[:MOST_PANELS]
    if not rows:
        return None
    figure = style.canvas(8.6, 0.5 + 2.3 * len(rows))
    axes = figure.subplots(len(rows), 2, squeeze=False)
    for (left, right), one in zip(axes, rows, strict=True):
        for number, series in enumerate(one.series[:TOGETHER]):
            colour = style.SERIES[number]
            _line(left, series, series.cpu, 1.0, colour, mean=True)
            _line(right, series, series.memory, 2.0**30, colour)
        left.set_title(f"{one.label}, {plural(one.workers, 'worker')}")
        _over_time((left, "CPU (cores in use)"), (right, "memory in use (GiB)"))
    return figure


def gpus(overview: StudyAnalysis) -> Canvas | None:
    """Draw busy time (%), memory (GiB) and power (W) of GPUs, a row a curve, a line a GPU."""
    rows = [one for one in overview.utilization if one.gpus][:MOST_PANELS]
    if not rows:
        return None
    figure = style.canvas(8.6, 0.5 + 2.3 * len(rows))
    axes = figure.subplots(len(rows), 3, squeeze=False)
    for (left, middle, right), one in zip(axes, rows, strict=True):
        for number, gpu in enumerate(one.gpus[:TOGETHER]):
            colour = style.SERIES[number]
            _line(left, gpu, gpu.utilization, 0.01, colour)
            _line(middle, gpu, gpu.memory, 2.0**30, colour)
            _line(right, gpu, gpu.power, 1.0, colour)
        left.set_title(f"{one.label}, {plural(one.workers, 'worker')}")
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


def _measured(overview: StudyAnalysis) -> list[Curve]:
    """Return the curves that have at least one time."""
    return [c for c in overview.curves if any(p.seconds is not None for p in c.points)]


def _look(number: int) -> tuple[str, str]:
    """Return colour and marker of a curve by its position."""
    n = len(style.SERIES)
    return style.SERIES[number % n], style.MARKERS[number % n]


def _shift(position: int, count: int) -> float:
    """Return how far (in log2 workers) a curve is moved aside so that intervals do not overlap."""
    return 0.06 * (position - (count - 1) / 2)


def _bars(
    axis: Axes,
    xs: Sequence[float],
    intervals: Sequence[Interval | None],
    colour: str,
    factor: float = 1.0,
) -> None:
    """Draw vertical bars for the intervals that exist."""
    for x, one in zip(xs, intervals, strict=True):
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


def _worker_axis(axis: Axes, curves: Sequence[Curve]) -> None:
    """Label the axis (log2) with the worker counts that were measured."""
    counts = sorted({point.workers for curve in curves for point in curve.points})
    axis.set_xticks([math.log2(count) for count in counts], [str(count) for count in counts])
    axis.set_xlim(math.log2(counts[0]) - 0.35, math.log2(counts[-1]) + 0.35)
    axis.set_xlabel("workers")
    axis.grid(False, axis="x")


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
