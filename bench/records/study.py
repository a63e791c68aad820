"""The records of a study: the checked and expanded study file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from bench.records.metrics import TIME
from bench.records.values import AtLeastOne, AtLeastZero, Digest, Scalar, Seconds

StagesMode = Literal["fused", "staged"]
Order = Literal["blocks", "random", "abba"]

PHASES = ("queue", "provision", "launch", "work", "teardown")
SAMPLING = (0.1, 60.0)  # seconds: the shortest and the longest sampling interval
LEAST_BLOCKS = 3  # repeats of every cell before an interval's width is checked


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Size of a worker or driver: ``cores``, ``memory`` in bytes, ``cpu_limit`` in cores.

    ``machine`` is a platform's machine type. ``gpus`` and ``gpu`` (their kind) are both set or
    both unset. Keys contain no unset field.
    """

    cores: AtLeastOne = 1
    memory: AtLeastOne = 1 << 30
    cpu_limit: Annotated[float, msgspec.Meta(gt=0)] | None = None
    machine: str | msgspec.UnsetType = msgspec.UNSET
    gpus: AtLeastOne | msgspec.UnsetType = msgspec.UNSET
    gpu: str | msgspec.UnsetType = msgspec.UNSET


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where stored data is: ``version`` and ``query`` select it; ``credentials`` names a secret."""

    uri: str
    format: str = ""
    version: str = ""
    query: str = ""
    credentials: str = ""


class Dataset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workload's input: a built-in name, a generator with its parameters, or a source.

    With a generator or a source, ``name`` is a label.
    """

    name: str
    generator: str | None = None
    params: Mapping[str, Scalar] = {}
    source: Source | None = None


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to run a case, without effect on what is measured; times in seconds."""

    timeout: Annotated[float, msgspec.Meta(gt=0)] = 1800.0
    retries: AtLeastZero = 0
    reuse: bool = True
    pause: Seconds = 0.0


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One point of the study before it is repeated, all resolved.

    Labels: ``workload``, ``environment``, and ``factors``, which maps a path (``workers``,
    ``params.tolerance``, ``worker.memory``) to this case's value. ``use`` is the study's name of
    the workload. All other fields are what is measured, except ``warmups`` (passes that do not
    count) and ``policy``. ``program`` is the manifest's name; ``bundle`` and ``machines`` (facts
    of machines that are known in advance) are empty until the study is resolved. ``datasets``
    maps roles to datasets. ``records.identity`` derives keys from a case.
    """

    workload: str
    environment: str
    use: str
    factors: Mapping[str, Scalar] = {}
    program: str
    task: str
    engine: str
    bundle: Digest = ""
    params: Mapping[str, Scalar] = {}
    datasets: Mapping[str, Dataset] = {}
    kind: str
    settings: Mapping[str, object] = {}
    machines: Mapping[str, str] = {}
    workers: AtLeastOne
    worker: Shape
    driver: Shape
    conf: Mapping[str, str] = {}
    versions: Mapping[str, str] = {}
    passes: AtLeastOne = 1
    stages: StagesMode = "fused"
    warmups: AtLeastZero = 0
    policy: Policy = Policy()

    @property
    def dataset(self) -> str:
        """Return the names of its datasets, for people."""
        return ", ".join(data.name for data in self.datasets.values())


class EnvironmentSpec(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """An environment of the study; ``settings`` are its kind's settings, checked by that kind.

    ``keyed`` are the settings that are part of what is measured, ``recorded`` those that a record
    may contain: the kind's struct declares both (see ``bench.settings``). In a record,
    ``settings`` are the recorded ones, and ``recorded`` is None.
    """

    name: str
    kind: str
    settings: Mapping[str, object] = {}
    keyed: Mapping[str, object] = {}
    recorded: Mapping[str, object] | None = None

    def for_record(self) -> EnvironmentSpec:
        """Return the environment as a record may contain it."""
        if self.recorded is None:
            return self
        return msgspec.structs.replace(self, settings=self.recorded, recorded=None)


class Study(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A study file, checked and expanded into cases.

    ``limit_time`` is in seconds, ``limit_machines`` the largest number of machines at a time.
    ``repeats`` is the number of runs of each case. With ``width`` it is the largest number: the
    repeats stop when the interval's width, as a share of its middle (0.05 = 5 %), is reached.
    ``sampling`` is the sampling interval in seconds. ``metric`` is the headline. A recorded study
    has no ``cases``: each is a line of its own.
    ``unplanned`` lists combinations that cannot run, each with its reason.
    """

    name: str
    title: str
    seed: int = 0
    repeats: AtLeastOne = 5
    width: Annotated[float, msgspec.Meta(gt=0)] | None = None
    order: Order = "blocks"
    sampling: Annotated[float, msgspec.Meta(ge=SAMPLING[0], le=SAMPLING[1])] = 1.0
    metric: str = TIME
    environments: tuple[EnvironmentSpec, ...]
    cases: tuple[Case, ...] = ()
    parallel: bool = True  # environments that share no machine run side by side
    unplanned: tuple[str, ...] = ()
    limit_time: float | None = None
    limit_machines: AtLeastOne | None = None


class Cell(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One planned run: a case (by its digest) and a repeat (from 0), with the case's labels.

    ``key`` identifies the cell, ``series`` its line through time, ``curve`` all cells that differ
    in their worker count only; see ``records.identity``.
    """

    key: Digest
    series: Digest
    curve: Digest
    case: Digest
    workload: str
    environment: str
    workers: AtLeastOne
    factors: Mapping[str, Scalar] = {}
    repeat: AtLeastZero
