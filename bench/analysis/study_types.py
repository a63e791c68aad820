"""What the analysis of a study starts from, and what it returns.

A missing figure is ``None``, never 0. Times are in seconds, memory in bytes, CPU in cores' worth.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bench.analysis.attribution.attribution import Attribution
from bench.analysis.attribution.types import Losses
from bench.analysis.comparison.compare import Limits
from bench.analysis.comparison.types import Comparison
from bench.analysis.runs.grouping import Selection
from bench.analysis.runs.metrics import TIME_RULE, MetricRule
from bench.analysis.runs.types import (
    Counts,
    Fact,
    MetricRow,
    ProvisionTimes,
    RunRow,
    SessionRow,
    Unreported,
    Utilization,
)
from bench.analysis.runs.utilization import Columns
from bench.analysis.scaling.types import Scaling
from bench.analysis.statistics.types import Trend
from bench.records.results import ClusterEvent, Machine, Session
from bench.records.study import Case

SCHEMA = 3


class StudyRuns(msgspec.Struct, frozen=True, kw_only=True):
    """One study's runs, grouped, and what was read of their files.

    ``samples`` and ``gpus`` map a run's id to its samples' columns (see ``utilization``; only runs
    that ``representatives.of_curves`` names are looked at), ``attributions`` to where its work
    went (of the runs that ``representatives.of_cells`` names), ``machines`` a digest to a machine,
    ``lives`` session and cluster to the cluster's last event, ``limits`` a task to its
    quality limits, ``cases`` a digest to the case that cells name.
    """

    selection: Selection
    sessions: tuple[Session, ...] = ()
    cases: Mapping[str, Case] = {}
    machines: Mapping[str, Machine] = {}
    samples: Mapping[str, Columns] = {}
    gpus: Mapping[str, Columns] = {}
    attributions: Mapping[str, Attribution] = {}
    lives: Mapping[tuple[str, str], ClusterEvent] = {}
    limits: Limits = {}


class StudyAnalysis(msgspec.Struct, frozen=True, kw_only=True):
    """The answers of one study, a field for each question, and the facts that they rest on.

    ``metric`` is the headline, with unit and direction where all curves agree on them. ``level``
    is the one that was asked for, ``planned`` the number of planned runs where somebody
    says it, ``unknown`` what the data does not tell, in words; ``trends`` are over the order of
    runs, an environment each; ``provisioning`` is a part of the phase ``provision``.
    """

    schema: int = SCHEMA
    title: str
    study: str
    metric: MetricRule = TIME_RULE
    level: float
    counts: Counts
    planned: int | None = None
    scaling: Scaling = Scaling()
    comparison: Comparison = Comparison()
    attribution: tuple[Losses, ...] = ()
    utilization: tuple[Utilization, ...] = ()
    metrics: tuple[MetricRow, ...] = ()
    unreported: tuple[Unreported, ...] = ()
    provisioning: tuple[ProvisionTimes, ...] = ()
    trends: tuple[Trend, ...] = ()
    runs: tuple[RunRow, ...] = ()
    sessions: tuple[SessionRow, ...] = ()
    machines: tuple[Machine, ...] = ()
    versions: tuple[Fact, ...] = ()
    facts: tuple[Fact, ...] = ()
    unknown: tuple[str, ...] = ()
