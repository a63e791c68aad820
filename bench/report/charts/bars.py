"""Stacked bars: what a time is made of, a bar for each cell, grouped by curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bench.report.charts import style
from bench.text import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

FAR_APART = 6.0  # curves whose times differ more get a scale each
MOST_BARS = 48
LONG_NAME = 16  # letters from which a legend's names take more room


class Bar(NamedTuple):
    """A stacked bar at a worker count of the curve ``label``: the seconds of its parts by name."""

    label: str
    workers: int
    parts: Mapping[str, float]


def stacked(bars: Sequence[Bar], label: str) -> Canvas | None:
    """Draw horizontal stacked bars, grouped by curve, the largest parts labelled."""
    bars = [bar for bar in bars if bar.parts][:MOST_BARS]
    if not bars:
        return None
    names = list(dict.fromkeys(name for bar in bars for name in bar.parts))
    groups = {bar.label: [other for other in bars if other.label == bar.label] for bar in bars}
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
        axis.set_title(curve)
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
