"""The report as one self-contained page, from a template that escapes everything by itself."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis.study_types import StudyAnalysis
from bench.report import caveats, format
from bench.report.figures import Figure


def render(overview: StudyAnalysis, figures: Sequence[Figure] = ()) -> str:
    """Return the page: no script, no font, no picture from anywhere else."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("bench.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    curves = {curve.id: curve for curve in overview.curves}
    points = {(c.id, point.workers): point for c in overview.curves for point in c.points}
    return environment.get_template("report.html.j2").render(
        o=overview,
        w=format,
        t=caveats,
        curves=curves,
        points=points,
        figures=list(dict.fromkeys(name for row in overview.runs for name in row.figures)),
        pictures=[(one, Markup(one.inline)) for one in figures],
        cells={cell.id: cell for cell in overview.cells},
    )
