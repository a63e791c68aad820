"""What a results file holds: one line each, tagged by ``record``.

A missing value is absent (``None`` or no key), never 0. Records hold no user name, no home
folder, no absolute path, and no address of a host that the study does not name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from bench.records.study import Cell, StagesMode, Study
from bench.records.values import AtLeastOne, AtLeastZero, Digest, Seconds

SCHEMA = 1
Status = Literal["ok", "failed", "timeout", "skipped"]
ClusterEventName = Literal["opening", "open", "adapted", "closed"]


# What a results file holds: one line each, tagged by "record".


class Machine(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="machine"):
    """A machine's facts, stored once by digest; ``memory`` in bytes.

    ``governor`` is the CPU frequency governor; ``virtualization`` "none" or the hypervisor.
    ``under`` is what lies beneath a virtual machine, as far as its platform tells: hypervisor,
    host_model, host_cpu, vcpus_per_core (of the host, rounded up), pool, clone.
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
    under: Mapping[str, str] = {}


class Bundle(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="bundle"):
    """A workload's files as they were: path in the bundle -> text, stored once by digest.

    ``quality`` holds the tolerances of its task (objective, auc, vector) at its precision.
    """

    digest: Digest
    workload: str
    task: str
    files: Mapping[str, str]
    quality: Mapping[str, float] = {}


class Session(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="session"):
    """One start of the harness: the first line of every results file."""

    schema: int = SCHEMA
    session: str
    campaign: str
    study: Study
    started_at: str
    host: str  # a hash of the machine's id
    benchcast: str
    commit: str | None = None
    dirty: bool | None = None
    lock: Digest | None = None
    versions: Mapping[str, str] = {}


class MachineUse(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a cluster held a machine: ``role`` is driver or worker, ``seconds`` until now.

    ``made`` is how many seconds it took to make the machine (to clone it), where it was made.
    """

    machine: Digest
    role: str
    seconds: Seconds
    made: Seconds | None = None


class ClusterLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="cluster"):
    """A cluster's life: opening (before anything exists), open, adapted, closed."""

    cluster: str
    environment: str
    event: ClusterEventName
    at: str
    phases: Mapping[str, float] = {}
    machines: tuple[MachineUse, ...] = ()


class Started(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="started"):
    """A run is about to be submitted; without a ``run`` line its harness died in it."""

    run: str
    key: Digest
    cluster: str
    at: str


class StoppedLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="stopped"):
    """The user or a limit stopped this run: it does not count as an attempt."""

    run: str
    reason: str
    at: str


class StageTime(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Wall and CPU seconds of one pipeline stage in one pass; the CPU is the driver's own."""

    name: str
    number: AtLeastZero  # the pass, from 0
    wall: Seconds
    driver_cpu: Seconds | None = None


class Measurement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A figure that the workload reported; ``number`` is the pass, ``item`` a query or batch."""

    metric: str
    unit: str = ""
    values: tuple[float, ...]
    phase: str = "work"
    number: AtLeastZero | None = None
    item: str | None = None


class Vector(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A coefficient vector, condensed: length, 2-norm and seeded random projections."""

    count: int
    norm: float
    projections: tuple[float, ...]


class Quality(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model found: proof that two runs did the same work."""

    objective: float
    auc: float | None = None
    iterations: int | None = None
    converged: bool | None = None
    precision: str = "float64"
    vector: Vector | None = None


class RunEvent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that happened to a run: throttled, interrupted, executor lost."""

    at: str
    kind: str
    text: str


class Digests(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must be equal for two runs to be the same work."""

    task: str
    bundle: Digest
    params: Digest
    dataset: Digest | None = None  # of the data as read; None where the run did not get so far


class Run(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="run"):
    """One finished run. ``phases`` and ``spans`` (the harness's own) are in seconds.

    ``worker_cpu`` is the work's CPU time summed over workers, in seconds, where it is known.
    ``contention`` is what the machine withheld, as far as samples tell: ``steal`` and
    ``throttled`` as shares (0..1) of the CPU time wanted, ``others`` in cores' worth.
    """

    run: str
    cell: Cell
    attempt: AtLeastOne
    session: str
    cluster: str
    status: Status
    reason: str = ""
    started_at: str
    machines: tuple[Digest, ...] = ()
    phases: Mapping[str, float] = {}
    stages: tuple[StageTime, ...] = ()
    passes: tuple[float, ...] = ()  # wall seconds of each pass, pass 0 first
    warmups: AtLeastZero = 0
    stages_mode: StagesMode = "fused"
    measurements: tuple[Measurement, ...] = ()
    quality: Quality | None = None
    marks: tuple[RunEvent, ...] = ()
    contention: Mapping[str, float] = {}
    workers_wanted: int
    workers_seen: int | None = None
    worker_cpu: Seconds | None = None
    digests: Digests | None = None
    versions: Mapping[str, str] = {}
    artefacts: Mapping[str, Digest] = {}
    spans: Mapping[str, float] = {}


Line = Session | Machine | Bundle | ClusterLine | Started | StoppedLine | Run
