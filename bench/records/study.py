"""What a study file says, read, checked and expanded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from bench.records.values import AtLeastOne, AtLeastZero, Digest, Scalar, Seconds

StagesMode = Literal["fused", "staged"]
Order = Literal["blocks", "random", "abba"]

PHASES = ("queue", "provision", "launch", "work", "teardown")
SAMPLING = (0.1, 60.0)  # seconds: the least and the most between two samples
LEAST_BLOCKS = 3  # repeats of every cell before the width of an interval is looked at
STAGES = ("source", "validate", "preprocess", "features", "train", "evaluate", "score", "infer")


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
    parallel: bool = True  # environments that share no machine run side by side
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
