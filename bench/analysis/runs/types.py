"""Runs and cells as analysis describes them.

A missing figure is ``None``, never 0. Times are in seconds, memory in bytes, CPU in cores' worth.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Literal

import msgspec

from bench.analysis.runs.metrics import TIME_RULE, MetricRule
from bench.analysis.statistics.interval import LEVEL
from bench.analysis.statistics.types import Interval, Trend
from bench.records.results import RunEvent, Status
from bench.records.values import Scalar


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the reader asks for: the ``level`` (0..1) of all intervals, and the names of
    differences between compared runs that are accepted.
    """

    allow: Collection[str] = ()
    level: float = LEVEL


class Headline(msgspec.Struct, frozen=True, kw_only=True):
    """The one number that stands for a run, its unit, and which passes it is made of."""

    value: float
    unit: str
    which: str


class RunValue(msgspec.Struct, frozen=True, kw_only=True):
    """One run's headline number, with the run's id, repeat (from 0) and session."""

    run: str
    value: float
    repeat: int | None = None
    session: str = ""


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """A counted run that stands out, and by what; it stays in all figures."""

    run: str
    kind: Literal["outlier", "contention"]
    text: str


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """Median seconds of a phase or pipeline stage over ``n`` runs, and its share of their sum."""

    name: str
    seconds: float
    share: float | None
    n: int


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many runs were measured and how they ended; ``superseded`` ones were ok, but old."""

    ok: int = 0
    failed: int = 0
    timeout: int = 0
    skipped: int = 0
    superseded: int = 0


class CellSummary(msgspec.Struct, frozen=True, kw_only=True):
    """All repeats of one point of the study; ``cold`` is the median of pass 0 (s).

    ``value`` is the middle of the headline ``metric`` in its unit, ``cv`` its sd / mean.
    ``label`` names its curve; ``worker_cpu`` and ``wall`` are medians of the whole work (s) over
    the runs that know their workers' CPU time; ``warmup`` is the trend of passes after the
    warm-ups, if it was tested.
    """

    id: str
    label: str
    workload: str
    environment: str
    workers: int
    factors: Mapping[str, Scalar] = {}
    counts: Counts
    metric: MetricRule = TIME_RULE
    which: str = ""
    value: Interval | None = None
    cv: float | None = None
    cold: float | None = None
    worker_cpu: float | None = None
    wall: float | None = None
    warmup: Trend | None = None
    doubts: tuple[Doubt, ...] = ()
    phases: tuple[Share, ...] = ()
    stages: tuple[Share, ...] = ()
    stages_mode: str = ""
    runs: tuple[RunValue, ...] = ()
    note: str = ""


class MetricRow(msgspec.Struct, frozen=True, kw_only=True):
    """One metric at one point of a curve; ``item`` is a query, batch or window, "" all of them.

    ``value`` is over the counted runs that report it, None where it has no middle.
    """

    cell: str
    label: str
    workers: int
    metric: MetricRule
    item: str = ""
    which: str = ""
    value: Interval | None


class Unreported(msgspec.Struct, frozen=True, kw_only=True):
    """The metrics that a curve's workload declares and none of its counted runs reports."""

    label: str
    names: tuple[str, ...]


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Utilization of one scope over time: s, cores' worth, bytes; a gap in the data is None.

    ``cpu`` is the mean over the time since the ``t`` before.
    """

    scope: str
    t: tuple[float, ...]
    cpu: tuple[float | None, ...] = ()
    memory: tuple[float | None, ...] = ()


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU over time: s, share of the time that it was busy (0..1), bytes, W; a gap is None."""

    scope: str
    t: tuple[float, ...]
    utilization: tuple[float | None, ...] = ()
    memory: tuple[float | None, ...] = ()
    power: tuple[float | None, ...] = ()


class Utilization(msgspec.Struct, frozen=True, kw_only=True):
    """Utilization of one run that stands for a curve at ``workers`` workers.

    ``sampling`` is the seconds from one sample to the next that its study asked for.
    """

    label: str
    run: str
    workers: int
    sampling: float | None = None
    series: tuple[Series, ...]
    gpus: tuple[Gpu, ...] = ()


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """One run as it is listed: ``counted`` runs make the figures, others say why not.

    ``value`` is its number of the headline metric, in ``unit``.
    """

    run: str
    cell: str | None
    workload: str
    environment: str
    workers: int
    factors: Mapping[str, Scalar]
    repeat: int
    attempt: int
    status: Status
    reason: str
    counted: bool
    why_not: str
    value: float | None
    unit: str
    which: str
    passes: tuple[float, ...]
    phases: Mapping[str, float]
    started_at: datetime
    session: str
    machines: tuple[str, ...]
    versions: Mapping[str, str]
    figures: Mapping[str, float] = {}
    workers_seen: int | None = None
    events: tuple[RunEvent, ...] = ()
    doubts: tuple[Doubt, ...] = ()


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One start of the harness, as it is listed."""

    session: str
    campaign: str
    started_at: datetime
    host: str
    benchcast: str
    commit: str | None
    dirty: bool | None
    runs: int


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """A named value about the study."""

    name: str
    value: str


class ProvisionTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How long the machines of an environment took to be made, one by one, in seconds.

    ``kind`` is of clones (linked, full, instant), "" where it is not known; ``count`` machines
    that stood when their clusters ended.
    """

    environment: str
    kind: str
    count: int
    median: float
    longest: float
