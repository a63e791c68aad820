"""Trends that should not be there: drift over the order of runs, passes that were not yet warm."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.analysis.runs.types import CellSummary
from bench.analysis.statistics.trend import Point, trend
from bench.analysis.statistics.types import Trend
from bench.records.results import Run

LEAST_PASSES = 5  # of a run, to judge its warm-up
LEAST_WARM = 3  # of these passes after the warm-ups


def drift(cells: Sequence[CellSummary], runs: Sequence[Run]) -> tuple[Trend, ...]:
    """Return the trend of the headline over the order of each environment's runs.

    Environments with too few runs have none. Numbers that are not positive are left out: the test
    is on logs.
    """
    position = {run.run: place for place, run in enumerate(runs)}
    trends = (
        trend(
            name,
            [
                [(float(position[v.run]), v.value) for v in cell.runs if v.value > 0]
                for cell in cells
                if cell.environment == name
            ],
        )
        for name in dict.fromkeys(cell.environment for cell in cells)
    )
    return tuple(tested for tested in trends if tested is not None)


def warmup(scope: str, runs: Iterable[Run]) -> Trend | None:
    """Test whether the passes after the warm-ups still have a trend; each run is a group.

    Whether passes are warm shows in their wall time, whatever the headline is.
    None where no run has ``LEAST_PASSES`` passes, ``LEAST_WARM`` of them after the warm-ups.
    """
    groups: list[list[Point]] = []
    for run in runs:
        first = max(1, run.warmups)
        warm = [(float(first + i), wall) for i, wall in enumerate(run.passes[first:])]
        if len(run.passes) >= LEAST_PASSES and len(warm) >= LEAST_WARM:
            groups.append([point for point in warm if point[1] > 0])
    return trend(scope, groups)
