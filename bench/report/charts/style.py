"""The look of the figures: colours that the page swaps for light and dark, and how they are saved.

Figures are drawn in the light colours; for the page each colour becomes a CSS variable.
The series' colours are Okabe and Ito's ("Color Universal Design", 2008), made a little darker
in light and lighter in dark mode.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

INK = "#22272e"
MUTED = "#6a737d"
GRID = "#d8dee5"
SERIES = ("#0b6fb8", "#d1560a", "#078a67", "#b0508f", "#a97400", "#5b5fc7")
PARTS = ("#6f7a88", "#946f00", "#078a68", "#0b6fb9", "#b0508e", "#d1560b", "#2d80b3", "#5b5fc8")
PAPER = "#fdfdfd"
NAMES = {
    PAPER: "paper",
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    **{colour: f"s{i}" for i, colour in enumerate(SERIES)},
    **{colour: f"p{i}" for i, colour in enumerate(PARTS)},
}
MARKERS = ("o", "s", "D", "^", "v", "P")

_RC: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "figure.constrained_layout.use": True,
}


@contextlib.contextmanager
def applied() -> Iterator[None]:
    """Draw in our style inside; outside matplotlib is as it was."""
    import matplotlib

    with matplotlib.rc_context(_RC):
        yield


def canvas(width: float, height: float) -> Canvas:
    """Return an empty figure (inches) that belongs to no window and no global list."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Canvas, name: str) -> tuple[str, str, bytes]:
    """Return the figure as SVG for a file, as SVG inside the page, and as PNG (150 dpi)."""
    import matplotlib

    out, png = io.StringIO(), io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": f"benchcast-{name}"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    figure.savefig(png, format="png", dpi=150, facecolor="white", metadata={"Software": None})
    text = out.getvalue()
    return text, _inline(text, name), png.getvalue()


def _inline(text: str, name: str) -> str:
    """Return SVG to stand in a page: without prologue and addresses, ids of its own, variables."""
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", body)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r'(?:xlink:)?href="#([^"]+)"', rf'href="#{name}-\1"', body)
    body = re.sub(r'(<svg)([^>]*?) width="[^"]+"', r"\1\2", body, count=1)
    body = re.sub(r'(<svg)([^>]*?) height="[^"]+"', r'\1 role="img"\2', body, count=1)
    # The figure's and the axes' own background is the page's.
    body = re.sub(r"fill: #ffffff", "fill: none", body)
    for colour, variable in NAMES.items():
        body = body.replace(colour, f"var(--{variable})")
    body = re.sub(r"font-family: [^;\"]+", "font-family: var(--font)", body)
    return re.sub(r"\n\s*\n+", "\n", body)
