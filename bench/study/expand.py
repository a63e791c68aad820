"""From entries to cases: lists cross, and no two cases may be the same."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from msgspec import UNSET

from bench.digests import digest
from bench.errors import StudyError
from bench.records.identity import measured
from bench.records.study import Case, Dataset, Policy, Shape
from bench.records.values import Scalar
from bench.study.environments import Axes, Environment
from bench.study.workloads import Data, Workload
from bench.text import quote

MOST_CASES = 10_000


@dataclass(frozen=True)
class Work:
    """How often a run does its work, and how many of these passes are warm-ups."""

    passes: int
    warmups: int


@dataclass
class Expansion:
    """The cases in the study's order, and the excluded combinations with their reasons."""

    cases: list[Case] = field(default_factory=list)
    unplanned: list[str] = field(default_factory=list)


def cross(axes: Axes) -> Iterator[dict[str, Scalar]]:
    """Yield every combination of the axes' values, the last axis fastest."""
    for point in itertools.product(*axes.values()):
        yield dict(zip(axes, point, strict=True))


def expand(
    file: str, workloads: list[Workload], environments: list[Environment], work: Work
) -> Expansion:
    """Cross workloads with environments and their factors; StudyError for two equal cases."""
    pairs, expansion = _pairs(workloads, environments)
    count = sum(_count(workload, environment) for workload, environment in pairs)
    if count > MOST_CASES:
        raise StudyError(
            f"{file}: {count:,} cases",
            remedy=f"at most {MOST_CASES:,} are allowed; cross shorter lists",
        )
    seen: dict[str, Case] = {}
    for workload, environment in pairs:
        for case in _cases(workload, environment, work):
            identity = digest([case.use, measured(case)])  # bundles are not known yet
            if identity in seen:
                raise StudyError(
                    f"{file}: {_described(seen[identity])} and {_described(case)} are the same",
                    remedy="take one out, or let a setting differ",
                )
            seen[identity] = case
    if not seen:
        raise StudyError(f"{file}: nothing to run: {'; '.join(expansion.unplanned)}")
    expansion.cases.extend(seen.values())
    return expansion


def _pairs(
    workloads: list[Workload], environments: list[Environment]
) -> tuple[list[tuple[Workload, Environment]], Expansion]:
    """Pair workloads with environments; an impossible pair is unplanned, or an error with `on`."""
    expansion = Expansion()
    pairs = []
    for workload in workloads:
        engine = workload.manifest.engine
        for environment in environments:
            name = environment.spec.name
            if workload.on is not None and name not in workload.on:
                continue
            if environment.engines is None or engine in environment.engines:
                pairs.append((workload, environment))
                continue
            able = ", ".join(sorted(environment.engines)) or "nothing"
            reason = f"kind {environment.spec.kind} does not run {engine}; it runs {able}"
            if workload.on is not None:
                raise StudyError(
                    f"{workload.place}.on: {workload.label} cannot run on {quote(name)}: {reason}",
                    remedy="take it out of `on`",
                )
            expansion.unplanned.append(f"{workload.label} on {name}: {reason}")
    used = {environment.spec.name for _, environment in pairs}
    idle = [
        environment.spec.name for environment in environments if environment.spec.name not in used
    ]
    expansion.unplanned.extend(f"environment {name}: no workload runs on it" for name in idle)
    return pairs, expansion


def _datasets(workload: Workload) -> tuple[Data, ...]:
    return workload.datasets or (Data("none", None, "train", {}),)


def _count(workload: Workload, environment: Environment) -> int:
    outer = _size(environment.axes) * _size(workload.axes)
    return outer * sum(_size(data.axes) for data in _datasets(workload))


def _size(axes: Axes) -> int:
    return math.prod([len(taken) for taken in axes.values()])


def _cases(workload: Workload, environment: Environment, work: Work) -> Iterator[Case]:
    datasets = _datasets(workload)
    for data in datasets:
        axes = {**environment.axes, **workload.axes, **data.axes}
        for point in cross(axes):
            factors = {path: point[path] for path in axes if len(axes[path]) > 1}
            factors["workers"] = point["workers"]
            if len(datasets) > 1:
                factors["dataset"] = data.name
            yield _case(workload, environment, work, data, point, factors)


def _case(
    workload: Workload,
    environment: Environment,
    work: Work,
    data: Data,
    point: Mapping[str, Scalar],
    factors: Mapping[str, Scalar],
) -> Case:
    manifest, spec = workload.manifest, environment.spec
    dataset = Dataset(name=data.name, generator=data.generator, params=_below("dataset", point))
    return Case(
        workload=workload.label,
        environment=spec.name,
        use=workload.use,
        factors=dict(sorted(factors.items())),
        program=manifest.name,
        task=manifest.task,
        engine=manifest.engine,
        params=_below("params", point),
        datasets={data.role: dataset},
        kind=spec.kind,
        settings=spec.keyed,
        workers=int(point["workers"]),
        worker=_shape("worker", point),
        driver=_shape("driver", point),
        conf={key: str(value) for key, value in _below("conf", point).items()},
        passes=work.passes,
        stages=workload.stages,
        warmups=work.warmups,
        policy=Policy(
            timeout=environment.timeout,
            retries=environment.retries,
            reuse=environment.reuse,
            pause=environment.pause,
        ),
    )


def _shape(role: str, point: Mapping[str, Scalar]) -> Shape:
    limit = point.get(f"{role}.cpu_limit")
    count = point.get(f"{role}.gpus")
    return Shape(
        cores=int(point[f"{role}.cores"]),
        memory=int(point[f"{role}.memory"]),
        cpu_limit=None if limit is None else float(limit),
        gpus=UNSET if count is None else int(count),
        gpu=UNSET if count is None else str(point[f"{role}.gpu"]),
    )


def _below(group: str, point: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return the values of a path's group, without the group's name, sorted."""
    start = f"{group}."
    return {
        path.removeprefix(start): point[path] for path in sorted(point) if path.startswith(start)
    }


def _described(case: Case) -> str:
    """Describe a case: label, environment and factors."""
    taken = ", ".join(f"{path} = {quote(value)}" for path, value in case.factors.items())
    return f"{case.workload} on {case.environment} ({taken})"
