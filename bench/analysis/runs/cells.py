"""The cells of a study's curves, summarized."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from bench.analysis.runs.grouping import CurveRuns
from bench.analysis.runs.summary import cell
from bench.analysis.runs.types import CellSummary, Counts
from bench.analysis.statistics.interval import LEVEL


def summaries(lines: Iterable[CurveRuns], level: float = LEVEL) -> list[list[CellSummary]]:
    """Return the cells of each curve, with ids numbered through all curves."""
    numbers = itertools.count(1)
    return [
        [
            cell(f"cell-{next(numbers)}", line.label, group.runs, group.counted, level, line.metric)
            for group in line.groups
        ]
        for line in lines
    ]


def total(cells: Iterable[CellSummary]) -> Counts:
    """Return the counts of all cells together."""
    counts = [cell.counts for cell in cells]
    return Counts(
        **{name: sum(getattr(one, name) for one in counts) for name in Counts.__struct_fields__}
    )
