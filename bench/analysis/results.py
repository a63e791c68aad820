"""What analysis returns: structs that a report renders without computing anything.

A missing figure is ``None``, never 0. Times are in seconds, memory in bytes, CPU in cores' worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from bench.analysis.attribution import Attribution, Part
from bench.model import Machine, Mark, Scalar, Status

SCHEMA = 1
VerdictScope = Literal["within", "across"]


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """An estimate with its confidence interval; ``low``, ``high`` and ``level`` are None where
    there are too few runs for one. ``level`` is the level attained (0..1)."""

    mid: float
    low: float | None = None
    high: float | None = None
    level: float | None = None
    method: str
    n: int
    note: str = ""


class Headline(msgspec.Struct, frozen=True, kw_only=True):
    """The one time (s) that stands for a run, and which passes it is made of."""

    seconds: float
    which: str


class RunValue(msgspec.Struct, frozen=True, kw_only=True):
    """One run's headline time in seconds, with the run's id, repeat (from 0) and session."""

    run: str
    seconds: float
    repeat: int | None = None
    session: str = ""


class Trend(msgspec.Struct, frozen=True, kw_only=True):
    """Whether times rise or fall with their order: ``p`` of the test, ``change`` from the first to
    the last as a share (0.1 = 10 % longer), ``n`` values; ``scope`` is an environment or a cell."""

    scope: str
    p: float
    change: float
    found: bool
    n: int
    method: str


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """A counted run that stands out, and by what; it stays in all figures."""

    run: str
    kind: Literal["outlier", "contention"]
    text: str


class Noise(msgspec.Struct, frozen=True, kw_only=True):
    """Standard deviation of log time from run to run, and of how many runs; 0 is a guess."""

    sd: float
    runs: int


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """The smallest ``change`` of time (0.1 = 10 % longer) found with ``power`` at level ``alpha``
    by so many ``repeats`` of two cells."""

    change: float
    repeats: int
    alpha: float
    power: float
    noise: Noise
    method: str


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
    """All repeats of one point of the study; ``cold`` is the median of pass 0, ``cv`` sd/mean.

    ``worker_cpu`` and ``wall`` are medians of the whole work (s) over the runs that know their
    workers' CPU time; ``warmup`` is the trend of passes after the warm-ups, if it was tested.
    """

    id: str
    curve: str
    workload: str
    environment: str
    workers: int
    factors: Mapping[str, Scalar] = {}
    counts: Counts
    which: str = ""
    seconds: Interval | None = None
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


class CurvePoint(msgspec.Struct, frozen=True, kw_only=True):
    """One worker count of a curve; ``ideal`` is the time (s) of perfect scaling from the first."""

    workers: int
    seconds: Interval | None = None
    runs: tuple[RunValue, ...] = ()
    ideal: float | None = None
    speedup: Interval | None = None
    efficiency: Interval | None = None


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Time over worker count of one workload in one environment, all else equal.

    ``base`` is the worker count that speed-up refers to; ``representative`` the run nearest to
    the middle at the largest measured worker count.
    """

    id: str
    label: str
    workload: str
    environment: str
    engine: str | None = None
    task: str | None = None
    dataset: str = ""
    factors: Mapping[str, Scalar] = {}
    points: tuple[CurvePoint, ...] = ()
    base: int | None = None
    representative: str | None = None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Something that differs: its name and both values; ``allowed`` says that it does not matter
    for equality, and ``note`` why (or how far apart they are)."""

    name: str
    left: str
    right: str
    allowed: bool = False
    note: str = ""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A quality figure of both sides, their largest difference and the tolerance it was held to."""

    name: str
    left: float
    right: float
    difference: float
    tolerance: float
    passed: bool


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether runs did the same work: True, False, or None where it cannot be proven.

    ``left`` and ``right`` are ids of curves (equal within one curve). ``reasons`` say in words
    what stands against it or what is missing; ``notes`` what else is good to know; ``accepted``
    names the differences that would stand against it, had the reader not accepted them.
    """

    scope: VerdictScope
    left: str
    right: str
    left_label: str
    right_label: str
    comparable: bool | None
    reasons: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    checks: tuple[Check, ...] = ()
    accepted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """How many times as long ``right`` takes as ``left`` at one worker count (ids of curves).

    ``accepted`` are the differences that the reader accepted for it.
    """

    left: str
    right: str
    left_label: str
    right_label: str
    workers: int
    ratio: Interval
    accepted: tuple[str, ...] = ()


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

    curve: str
    label: str
    run: str
    workers: int
    sampling: float | None = None
    series: tuple[Series, ...]
    gpus: tuple[Gpu, ...] = ()


class LossPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where one run's work went at ``workers`` workers; ``gap`` splits what it took beyond the
    ideal time (empty at the curve's smallest count)."""

    workers: int
    run: str
    attribution: Attribution
    gap: tuple[Part, ...] = ()


class Losses(msgspec.Struct, frozen=True, kw_only=True):
    """What each added worker of a curve is lost to, a point for each worker count attributed."""

    curve: str
    label: str
    points: tuple[LossPoint, ...]


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """One run as it is listed: ``counted`` runs make the figures, others say why not."""

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
    seconds: float | None
    which: str
    passes: tuple[float, ...]
    phases: Mapping[str, float]
    started_at: str
    session: str
    machines: tuple[str, ...]
    versions: Mapping[str, str]
    objective: float | None = None
    auc: float | None = None
    iterations: int | None = None
    workers_seen: int | None = None
    marks: tuple[Mark, ...] = ()
    doubts: tuple[Doubt, ...] = ()


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One start of the harness, as it is listed."""

    session: str
    campaign: str
    started_at: str
    host: str
    benchcast: str
    commit: str | None
    dirty: bool | None
    runs: int


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """A named value about the study."""

    name: str
    value: str


class Making(msgspec.Struct, frozen=True, kw_only=True):
    """How long the machines of an environment took to be made, one by one, in seconds.

    ``kind`` is of clones (linked, full, instant), "" where it is not known; ``count`` machines
    that stood when their clusters ended.
    """

    environment: str
    kind: str
    count: int
    median: float
    longest: float


class Overview(msgspec.Struct, frozen=True, kw_only=True):
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
    made: tuple[Making, ...] = ()
    unknown: tuple[str, ...] = ()
