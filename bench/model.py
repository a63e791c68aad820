"""The records: what a study says and what a results file holds.

A missing value is absent (``None`` or no key), never 0. Records hold no user name, no home
folder, no absolute path, and no address of a host that the study does not name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

import msgspec

SCHEMA = 1

Scalar = bool | int | float | str
Status = Literal["ok", "failed", "timeout", "skipped"]
StagesMode = Literal["fused", "staged"]
Order = Literal["blocks", "random", "abba"]
ClusterEventName = Literal["opening", "open", "adapted", "closed"]

PHASES = ("queue", "provision", "launch", "work", "teardown")
SAMPLING = (0.1, 60.0)  # seconds: the least and the most between two samples
LEAST_BLOCKS = 3  # repeats of every cell before the width of an interval is looked at
STAGES = ("source", "validate", "preprocess", "features", "train", "evaluate", "score", "infer")

AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
AtLeastZero = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Digest = str  # sha256, 64 hexadecimal digits


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Size of a worker or driver: ``cores``, ``memory`` in bytes, ``cpu_limit`` in cores.

    ``gpus`` of the kind ``gpu`` are both said or both unset, and then in no cell's key.
    """

    cores: AtLeastOne = 1
    memory: AtLeastOne = 1 << 30
    cpu_limit: Annotated[float, msgspec.Meta(gt=0)] | None = None
    gpus: AtLeastOne | msgspec.UnsetType = msgspec.UNSET
    gpu: str | msgspec.UnsetType = msgspec.UNSET


class Dataset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workload's input: a built-in name, or a generator with its parameters."""

    name: str
    generator: str | None = None
    params: Mapping[str, Scalar] = {}


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One point of the study before it is repeated: a workload on an environment, all resolved.

    ``factors`` maps a path (``workers``, ``params.tolerance``, ``worker.memory``) to the value
    taken here. ``pause`` and ``timeout`` are in seconds.
    """

    workload: str
    use: str
    engine: str
    environment: str
    workers: AtLeastOne
    worker: Shape
    driver: Shape
    conf: Mapping[str, str] = {}
    params: Mapping[str, Scalar] = {}
    dataset: Dataset
    factors: Mapping[str, Scalar] = {}
    passes: AtLeastOne = 1
    warmups: AtLeastZero = 0
    stages: StagesMode = "fused"
    timeout: Annotated[float, msgspec.Meta(gt=0)] = 1800.0
    retries: AtLeastZero = 0
    reuse: bool = True
    pause: Seconds = 0.0


class EnvironmentSpec(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """An environment of the study; ``settings`` are its kind's own keys, checked by that kind.

    ``unkeyed`` and ``unrecorded`` are paths into them (``key``, ``hosts.user``: of each host) that
    are no part of what is measured: none enters a cell's key, and the latter no record either.
    """

    name: str
    kind: str
    settings: Mapping[str, object] = {}
    unkeyed: tuple[str, ...] = ()
    unrecorded: tuple[str, ...] = ()

    def keyed(self) -> Mapping[str, object]:
        """Return the settings that belong to what is measured."""
        return _without(self.settings, (*self.unkeyed, *self.unrecorded))

    def recorded(self) -> EnvironmentSpec:
        """Return what a record may hold of it."""
        kept = _without(self.settings, self.unrecorded)
        return msgspec.structs.replace(self, settings=kept, unrecorded=())


def _without(settings: Mapping[str, object], paths: Iterable[str]) -> Mapping[str, object]:
    """Return settings without the keys at ``paths``, in tables and in lists of tables."""
    below: dict[str, list[str]] = {}
    for path in paths:
        head, _, rest = path.partition(".")
        below.setdefault(head, []).append(rest)
    return {
        key: _inside(value, below[key]) if key in below else value
        for key, value in settings.items()
        if "" not in below.get(key, ())
    }


def _inside(value: object, paths: Sequence[str]) -> object:
    if isinstance(value, Mapping):
        return _without(value, paths)
    return [_inside(one, paths) for one in value] if isinstance(value, (list, tuple)) else value


class Study(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A study file, read, checked and expanded into cases; ``limit_time`` is in seconds,
    ``limit_machines`` how many machines may be held at a time.

    ``repeats`` are the runs of each case, or the most of them where ``width`` is given: the width
    that its interval may have, from low end to high end, as a share of its middle (0.05 = 5 %).
    ``sampling`` is the time from one sample of the machines to the next, in seconds.
    ``unplanned`` lists combinations that cannot run, each with its reason.
    """

    name: str
    title: str
    seed: int = 0
    repeats: AtLeastOne = 5
    width: Annotated[float, msgspec.Meta(gt=0)] | None = None
    order: Order = "blocks"
    sampling: Annotated[float, msgspec.Meta(ge=SAMPLING[0], le=SAMPLING[1])] = 1.0
    environments: tuple[EnvironmentSpec, ...]
    cases: tuple[Case, ...]
    unplanned: tuple[str, ...] = ()
    limit_time: float | None = None
    limit_machines: AtLeastOne | None = None


class Cell(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One planned run: a case and a repeat (from 0). ``key`` identifies it, ``series`` its line
    through time (the key without repeat, bundle digest and versions)."""

    key: Digest
    series: Digest
    workload: str
    environment: str
    workers: int
    factors: Mapping[str, Scalar] = {}
    repeat: AtLeastZero


class Owner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose a resource is: study, session, cluster; its ``mark`` is part of every name."""

    study: str
    session: str
    cluster: str

    @property
    def mark(self) -> str:
        """The owner as one word, ``session.cluster``: both are unique."""
        return f"{self.session}.{self.cluster}"


class Job(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to submit: ``run`` is the run's id and the log's nonce.

    ``bundle`` maps a file's path inside the bundle (``_common/emitter.py``, ``main.py``) to its
    place on this machine; ``entry`` is one of those paths.
    """

    run: str
    engine: str
    entry: str
    bundle: Mapping[str, str]
    params: Mapping[str, Scalar]
    dataset: Dataset
    workers: int
    passes: int
    stages: StagesMode
    timeout: float


class Need(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a cluster must be: engine, worker count, shapes and engine configuration."""

    engine: str
    workers: int
    worker: Shape
    driver: Shape
    conf: Mapping[str, str] = {}


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


class Mark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
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
    marks: tuple[Mark, ...] = ()
    contention: Mapping[str, float] = {}
    workers_wanted: int
    workers_seen: int | None = None
    worker_cpu: Seconds | None = None
    digests: Digests | None = None
    versions: Mapping[str, str] = {}
    artefacts: Mapping[str, Digest] = {}
    spans: Mapping[str, float] = {}


Line = Session | Machine | Bundle | ClusterLine | Started | StoppedLine | Run
