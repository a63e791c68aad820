"""Which run stands for a cell, and which for a curve: those whose files are read and drawn."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from bench.analysis.runs.grouping import CellRuns, CurveRuns
from bench.analysis.runs.summary import headline
from bench.records.results import Run
from bench.records.study import Case


def of_cell(group: CellRuns) -> Run | None:
    """Return the counted run nearest to the median of its cell; None where none has a time."""
    timed = [(head.seconds, run) for run in group.counted if (head := headline(run))]
    if not timed:
        return None
    middle = median(seconds for seconds, _ in timed)
    return min(timed, key=lambda pair: abs(pair[0] - middle))[1]


def of_curve(line: CurveRuns) -> Run | None:
    """Return the run that stands for the largest worker count that was measured."""
    runs = (of_cell(group) for group in sorted(line.groups, key=lambda group: -group.workers))
    return next((run for run in runs if run is not None), None)


def of_curves(lines: Iterable[CurveRuns]) -> list[Run]:
    """Return the run that stands for each curve: analysis looks at the samples of these."""
    return [run for line in lines if (run := of_curve(line)) is not None]


def of_cells(lines: Iterable[CurveRuns]) -> list[tuple[Run, Case]]:
    """Return the run that stands for each cell, with its case: the work of these is attributed."""
    return [
        (run, line.case)
        for line in lines
        if line.case is not None
        for group in line.groups
        if (run := of_cell(group)) is not None
    ]
