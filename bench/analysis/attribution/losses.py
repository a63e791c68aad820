"""What each added worker is lost to: the attribution of one run for each point of a curve."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median

from bench.analysis.attribution.attribution import Attribution, gap
from bench.analysis.attribution.types import Losses, LossPoint
from bench.analysis.runs.grouping import Line
from bench.analysis.runs.summary import headline
from bench.analysis.runs.types import Curve
from bench.records.results import Run
from bench.records.study import Case


def representative_runs(lines: Iterable[Line]) -> Iterator[tuple[Run, Case]]:
    """Yield the run nearest to the middle of each cell, with the case that it measured."""
    for line in lines:
        for group in line.groups if line.case else ():
            found = [(head.seconds, run) for run in group.counted if (head := headline(run))]
            if found and line.case:
                middle = median(seconds for seconds, _ in found)
                yield min(found, key=lambda pair: abs(pair[0] - middle))[1], line.case


def losses(curves: Sequence[Curve], found: Mapping[str, Attribution]) -> tuple[Losses, ...]:
    """Return the losses of every curve of which runs are attributed (``found``, by run).

    The gap of a point is to linear speed-up from the smallest worker count attributed, over the
    whole work (ready to end), which has more in it than the headline's passes.
    """
    result = []
    for curve in curves:
        chosen = [
            (point.workers, value.run, found[value.run])
            for point in curve.points
            for value in point.runs
            if value.run in found
        ]
        points = tuple(
            LossPoint(
                workers=workers,
                run=run,
                attribution=one,
                gap=gap(chosen[0][2], one) if run != chosen[0][1] else (),
            )
            for workers, run, one in chosen
        )
        if points:
            result.append(Losses(curve=curve.id, label=curve.label, points=points))
    return tuple(result)
