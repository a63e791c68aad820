"""The lines of a results file, tagged by ``record``.

A missing value is absent (``None`` or no key), never 0. Records contain no user name, no home
folder, no absolute path, and no address of a host that the study does not name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from bench.records.billing import BillingFact
from bench.records.metrics import Metric
from bench.records.study import Case, Cell, StagesMode, Study
from bench.records.values import (
    AtLeastOne,
    AtLeastZero,
    Count,
    Digest,
    Moment,
    Name,
    Scalar,
    Seconds,
)

SCHEMA = 2
MEASURED = "measured"  # the origin of a run that was not imported
Status = Literal["ok", "failed", "timeout", "skipped"]
ClusterEventName = Literal["opening", "open", "adapted", "closed"]


class Machine(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="machine"):
    """A machine's facts, stored once by digest; ``memory`` in bytes.

    ``governor`` is the CPU frequency governor; ``virtualization`` "none" or the hypervisor.
    ``hypervisor`` holds facts about the host of a virtual machine, as far as its platform reports
    them: hypervisor, host_model, host_cpu, vcpus_per_core (of the host, rounded up), pool, clone.
    """

    digest: Digest
    cpu_model: str
    cores: int
    memory: int
    os: str
    kernel: str = ""
    accelerators: tuple[str, ...] = ()
    governor: str | None = None
    threads_per_core: int | None = None
    virtualization: str | None = None
    hypervisor: Mapping[str, str] = {}


class QualityLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When two runs have equal quality.

    ``tolerances`` by figure are absolute for a number, relative to the norm for a vector;
    ``requires`` maps figures to the value that every run must have.
    """

    tolerances: Mapping[str, float] = {}
    requires: Mapping[str, Scalar] = {}


class Bundle(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="bundle"):
    """A workload's files as they were: path in the bundle -> text, stored once by digest.

    ``metrics`` are those that it may report, ``quality`` the limits of its task at its precision.
    """

    digest: Digest
    workload: str
    task: str
    files: Mapping[str, str]
    metrics: Mapping[str, Metric] = {}
    quality: QualityLimits = QualityLimits()


class CaseLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="case"):
    """A case, stored once by the digest that its runs' cells name."""

    digest: Digest
    case: Case


class Session(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="session"):
    """One start of the harness: the first line of every results file."""

    schema: int = SCHEMA
    session: Name
    campaign: str
    study: Study
    started_at: Moment
    host: str  # a hash of the machine's id
    benchcast: str
    commit: str | None = None
    dirty: bool | None = None
    lock: Digest | None = None
    versions: Mapping[str, str] = {}


class MachineUse(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a cluster held a machine: ``role`` is driver or worker, ``seconds`` until now.

    ``provision_seconds`` is the time to create the machine (to clone it), if it was created.
    """

    machine: Digest
    role: str
    seconds: Seconds
    provision_seconds: Seconds | None = None


class ClusterEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="cluster"):
    """A cluster's life: opening (before anything exists), open, adapted, closed.

    ``phases`` in seconds; ``billing`` holds facts, never prices.
    """

    cluster: str
    environment: str
    event: ClusterEventName
    at: Moment
    phases: Mapping[str, float] = {}
    machines: tuple[MachineUse, ...] = ()
    billing: tuple[BillingFact, ...] = ()


class Started(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="started"):
    """A run is about to be submitted; without a ``run`` line, its harness died meanwhile."""

    run: Name
    key: Digest
    cluster: str
    at: Moment


class StoppedLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="stopped"):
    """The user or a limit stopped this run: it does not count as an attempt."""

    run: Name
    reason: str
    at: Moment


class StageTime(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Wall and CPU seconds of one pipeline stage in one pass; the CPU is the driver's own."""

    name: str
    number: AtLeastZero  # the pass, from 0
    wall: Seconds
    driver_cpu: Seconds | None = None


class Histogram(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values counted in bins: ``edges`` rise, and there is one more of them than ``counts``."""

    edges: tuple[float, ...]
    counts: tuple[Count, ...]

    def __post_init__(self) -> None:
        """Reject invalid bins."""
        if len(self.edges) != len(self.counts) + 1 or list(self.edges) != sorted(set(self.edges)):
            raise ValueError("a histogram has rising edges, one more than counts")


class Measurement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A metric that the workload reported: ``values``, or a ``histogram`` of very many.

    ``number`` is the pass; ``item`` a query, a batch or a window.
    """

    metric: str
    unit: str = ""
    values: tuple[float, ...] = ()
    histogram: Histogram | None = None
    phase: str = "work"
    number: AtLeastZero | None = None
    item: str | None = None


class Vector(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A vector, condensed: length, 2-norm and seeded random projections."""

    count: int
    norm: float
    projections: tuple[float, ...]


Figure = bool | float | Vector


class Quality(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run's quality figures, named by the workload: proof that two runs did the same work.

    A figure is a number, a condition (true or false) or a condensed vector.
    """

    figures: Mapping[str, Figure] = {}
    precision: str = "float64"

    @property
    def numbers(self) -> dict[str, float]:
        """Return the figures that are numbers."""
        return {
            name: float(value)
            for name, value in self.figures.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }


class RunEvent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event during a run: throttled, interrupted, executor lost."""

    at: Moment
    kind: str
    text: str


class Digests(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Digests that are equal if two runs did the same work."""

    task: str
    bundle: Digest
    params: Digest
    datasets: Mapping[str, Digest] = {}  # by role, of the data as read


class Run(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="run"):
    """One finished run. ``phases`` and ``spans`` (the harness's own) are in seconds.

    ``worker_cpu`` is the work's CPU time summed over workers, in seconds, if known.
    ``contention`` is the CPU that the machine withheld, from samples: ``steal`` and
    ``throttled`` as shares (0..1) of the CPU time wanted, ``others`` in cores' worth. ``origin``
    says where an imported run comes from.
    """

    run: Name
    origin: str = MEASURED
    cell: Cell
    attempt: AtLeastOne
    session: str
    cluster: str
    status: Status
    reason: str = ""
    started_at: Moment
    machines: tuple[Digest, ...] = ()
    phases: Mapping[str, float] = {}
    stages: tuple[StageTime, ...] = ()
    passes: tuple[float, ...] = ()  # wall seconds of each pass, pass 0 first
    warmups: AtLeastZero = 0
    stages_mode: StagesMode = "fused"
    measurements: tuple[Measurement, ...] = ()
    quality: Quality | None = None
    events: tuple[RunEvent, ...] = ()
    contention: Mapping[str, float] = {}
    workers_wanted: int
    workers_seen: int | None = None
    worker_cpu: Seconds | None = None
    digests: Digests | None = None
    versions: Mapping[str, str] = {}
    artefacts: Mapping[str, Digest] = {}
    spans: Mapping[str, float] = {}


Line = Session | Machine | Bundle | CaseLine | ClusterEvent | Started | StoppedLine | Run
