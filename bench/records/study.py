"""What a study file says, read, checked and expanded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from bench.records.metrics import TIME
from bench.records.values import AtLeastOne, AtLeastZero, Digest, Scalar, Seconds

StagesMode = Literal["fused", "staged"]
Order = Literal["blocks", "random", "abba"]

PHASES = ("queue", "provision", "launch", "work", "teardown")
SAMPLING = (0.1, 60.0)  # seconds: the least and the most between two samples
LEAST_BLOCKS = 3  # repeats of every cell before the width of an interval is looked at


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Size of a worker or driver: ``cores``, ``memory`` in bytes, ``cpu_limit`` in cores.

    ``machine`` is a platform's machine type. ``gpus`` of the kind ``gpu`` are both given or both
    unset. What is unset is in no key.
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
    """A workload's input: a name that the workload knows, a generator with its parameters, or a
    source. Beside a generator or a source, ``name`` is a label."""

    name: str
    generator: str | None = None
    params: Mapping[str, Scalar] = {}
    source: Source | None = None


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a case is run, which changes nothing of what is measured; times in seconds."""

    timeout: Annotated[float, msgspec.Meta(gt=0)] = 1800.0
    retries: AtLeastZero = 0
    reuse: bool = True
    pause: Seconds = 0.0


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One point of the study before it is repeated, all resolved.

    Labels: ``workload``, ``environment``, and ``factors``, which maps a path (``workers``,
    ``params.tolerance``, ``worker.memory``) to the value taken here. ``use`` is how the study
    names the workload. All other fields are what is measured, but ``warmups`` (passes that do not
    count) and ``policy``. ``program`` is the manifest's name; ``bundle`` and ``machines`` (facts
    of the machines that are known beforehand) are empty until the study is resolved. ``datasets``
    go by their role. ``records.identity`` makes keys of it.
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
    """An environment of the study; ``settings`` are its kind's own keys, checked by that kind.

    ``keyed`` are those that belong to what is measured, and ``recorded`` those that a record may
    hold: the kind's struct marks them (see ``bench.settings``). In a record ``settings`` are
    these, and ``recorded`` is None.
    """

    name: str
    kind: str
    settings: Mapping[str, object] = {}
    keyed: Mapping[str, object] = {}
    recorded: Mapping[str, object] | None = None

    def for_record(self) -> EnvironmentSpec:
        """Return what a record may hold of it."""
        if self.recorded is None:
            return self
        return msgspec.structs.replace(self, settings=self.recorded, recorded=None)


class Study(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A study file, read, checked and expanded into cases; ``limit_time`` is in seconds,
    ``limit_machines`` how many machines may be held at a time.

    ``repeats`` are the runs of each case, or the most of them where ``width`` is given: the width
    that its interval may have, from low end to high end, as a share of its middle (0.05 = 5 %).
    ``sampling`` is the time from one sample of the machines to the next, in seconds. ``metric`` is
    the headline. A recorded study has no ``cases``: each is a line of its own.
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
    workers: int
    factors: Mapping[str, Scalar] = {}
    repeat: AtLeastZero
