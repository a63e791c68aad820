"""From a chart to a figure: drawn once, as SVG and PNG, the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from bench.report.charts import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """A chart that a section can draw; ``draw`` returns None where there is nothing to draw."""

    name: str
    title: str
    caption: str
    draw: Callable[[], Canvas | None]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a section: ``svg`` is for a file, ``inline`` follows the page's colours."""

    section: str
    name: str
    title: str
    caption: str
    alt: str
    svg: str
    inline: str
    png: bytes


def drawn(chart: Chart, section: str, subject: str) -> Figure | None:
    """Return the chart drawn, or None where there is nothing to draw.

    ``subject`` says to those who do not see it what it is about.
    """
    with style.applied():
        canvas = chart.draw()
        if canvas is None:
            return None
        svg, inline, png = style.save(canvas, chart.name)
    return Figure(
        section=section,
        name=chart.name,
        title=chart.title,
        caption=chart.caption,
        alt=f"{chart.title}: {subject}",
        svg=svg,
        inline=inline,
        png=png,
    )
