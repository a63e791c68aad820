"""What each added worker is lost to: the attribution of one run for each point of a curve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bench.analysis.attribution.attribution import Attribution, gap
from bench.analysis.attribution.types import Losses, LossPoint
from bench.analysis.runs.grouping import CurveRuns


def losses(
    lines: Iterable[CurveRuns], attributions: Mapping[str, Attribution]
) -> tuple[Losses, ...]:
    """Return the losses of every curve of which runs are attributed (by run).

    The gap of a point is to linear speed-up from the smallest worker count attributed, over the
    whole work (ready to end), which has more in it than the headline's passes.
    """
    curves = (Losses(label=line.label, points=_points(line, attributions)) for line in lines)
    return tuple(curve for curve in curves if curve.points)


def _points(line: CurveRuns, attributions: Mapping[str, Attribution]) -> tuple[LossPoint, ...]:
    chosen = [
        (group.workers, run.run, attributions[run.run])
        for group in line.groups
        for run in group.counted
        if run.run in attributions
    ]
    return tuple(
        LossPoint(
            workers=workers,
            run=run,
            attribution=attribution,
            gap=gap(chosen[0][2], attribution) if run != chosen[0][1] else (),
        )
        for workers, run, attribution in chosen
    )
