"""What analysis returns: structs that a report renders without computing anything.

A missing figure is ``None``, never 0. Times are in seconds, memory in bytes, CPU in cores' worth.
"""

from __future__ import annotations

import msgspec

from bench.analysis.attribution.types import Losses
from bench.analysis.comparison.types import Ratio, Verdict
from bench.analysis.runs.types import (
    CellSummary,
    Counts,
    Curve,
    Fact,
    ProvisionTimes,
    RunRow,
    SessionRow,
    Utilization,
)
from bench.analysis.statistics.types import Trend
from bench.records.results import Machine

SCHEMA = 1


class StudyAnalysis(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a report of one study says; ``level`` is the one that was asked for.

    ``planned`` is the number of planned runs where the caller said it, ``unknown`` what the data
    does not tell, in words; ``drift`` the trend over the order of runs, an environment each;
    ``made`` the time to make machines, which is a part of their clusters' ``provision``.
    """

    schema: int = SCHEMA
    title: str
    study: str
    level: float
    counts: Counts
    planned: int | None = None
    curves: tuple[Curve, ...] = ()
    cells: tuple[CellSummary, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    utilization: tuple[Utilization, ...] = ()
    losses: tuple[Losses, ...] = ()
    runs: tuple[RunRow, ...] = ()
    sessions: tuple[SessionRow, ...] = ()
    machines: tuple[Machine, ...] = ()
    versions: tuple[Fact, ...] = ()
    facts: tuple[Fact, ...] = ()
    drift: tuple[Trend, ...] = ()
    made: tuple[ProvisionTimes, ...] = ()
    unknown: tuple[str, ...] = ()
