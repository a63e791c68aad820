"""The figures of a report: matplotlib drawn once, as SVG and PNG, the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from bench.analysis.study_types import StudyAnalysis
from bench.report import charts, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure: ``svg`` stands alone in a file, ``inline`` follows the page's colours."""

    name: str
    title: str
    caption: str
    alt: str
    svg: str
    inline: str
    png: bytes


Maker = Callable[[StudyAnalysis], "Canvas | None"]
MAKERS: tuple[tuple[str, str, str, Maker], ...] = (
    (
        "time",
        "Time over worker count",
        "Every dot is one run; the bar is the interval around the middle, the dashed line "
        "perfect scaling from the smallest worker count.",
        charts.time,
    ),
    (
        "speedup",
        "Speed-up and efficiency",
        "Against the smallest worker count measured, with intervals; dashed: ideal. At most six "
        "curves are drawn, the table of cells has all.",
        charts.scaling,
    ),
    (
        "phases",
        "Where the time goes, by phase",
        "Medians over the runs that count; medians of parts need not add up to the median "
        "of the whole.",
        charts.phases,
    ),
    (
        "stages",
        "Where the work goes, by pipeline stage",
        "Medians over the headline's passes. In fused mode a lazy engine's work shows in the "
        "stage that sets it off.",
        charts.stages,
    ),
    (
        "losses",
        "What the work's time was lost to",
        "Of each worker count the run nearest to the middle: its slots' time, divided by the "
        "slots, so that the parts add up to the time of the work (ready to end).",
        charts.losses,
    ),
    (
        "utilization",
        "CPU and memory while it ran",
        "The run nearest to the middle, at each curve's largest worker count.",
        charts.utilization,
    ),
    (
        "gpus",
        "GPUs while it ran",
        "The same runs: the share of the time before a sample in which the GPU worked (the "
        "driver's own, over at most its last second), the memory in use and the power drawn.",
        charts.gpus,
    ),
)


def draw(overview: StudyAnalysis) -> tuple[Figure, ...]:
    """Return the figures that the overview has data for."""
    found = []
    with style.applied():
        for name, title, caption, make in MAKERS:
            canvas = make(overview)
            if canvas is not None:
                svg, inline, png = style.save(canvas, name)
                alt = f"{title}: {', '.join(curve.label for curve in overview.curves[:6])}"
                found.append(
                    Figure(
                        name=name,
                        title=title,
                        caption=caption,
                        alt=alt,
                        svg=svg,
                        inline=inline,
                        png=png,
                    )
                )
    return tuple(found)
