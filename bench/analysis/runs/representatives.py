"""Which run stands for a cell, and which for a curve: those whose files are read and drawn."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from bench.analysis.runs.grouping import CellRuns, CurveRuns
from bench.analysis.runs.headline import headline
from bench.analysis.runs.metrics import TIME_RULE, MetricRule
from bench.records.results import Run
from bench.records.study import Case


def of_cell(group: CellRuns, metric: MetricRule = TIME_RULE) -> Run | None:
    """Return the counted run nearest to its cell's median of a metric; None where none has it."""
    valued = [(head.value, run) for run in group.counted if (head := headline(run, metric))]
    if not valued:
        return None
    middle = median(value for value, _ in valued)
    return min(valued, key=lambda pair: abs(pair[0] - middle))[1]


def of_curve(line: CurveRuns) -> Run | None:
    """Return the run that stands for the largest worker count that was measured."""
    groups = sorted(line.groups, key=lambda group: -group.workers)
    runs = (of_cell(group, line.metric) for group in groups)
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
        if (run := of_cell(group, line.metric)) is not None
    ]
