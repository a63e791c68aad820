"""``[[workload]]`` and ``[dataset.NAME]``: what the study runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from bench.errors import WorkloadError, nearest
from bench.records.study import StagesMode
from bench.records.values import Scalar
from bench.records.workload import BuiltIn, Manifest
from bench.study import values
from bench.study.environments import Axes
from bench.study.table import Table
from bench.text import quote

Find = Callable[[str, Path], Manifest]

KEYS = ("use", "name", "on", "dataset", "params", "stages")


@dataclass(frozen=True)
class Data:
    """One dataset of a workload: its built-in name or its generator, whose params are axes."""

    name: str
    generator: str | None
    role: str
    axes: Axes


@dataclass(frozen=True)
class Workload:
    """One labelled workload; ``on`` names environments, None means all that can run it."""

    label: str
    use: str
    manifest: Manifest
    on: tuple[str, ...] | None
    axes: Axes
    datasets: tuple[Data, ...]
    stages: StagesMode
    place: str


def workloads(
    top: Table, datasets: Mapping[str, Table], environments: tuple[str, ...], find: Find
) -> list[Workload]:
    """Return the study's workloads, in its order; labels are unique."""
    base = Path(top.file).parent
    by_label: dict[str, Workload] = {}
    for entry in top.array("workload"):
        entry.only(KEYS)
        for use in _uses(entry):
            workload = _workload(
                entry, use, datasets, environments, _manifest(entry, use, base, find)
            )
            if workload.label in by_label:
                raise entry.wrong(
                    "name" if "name" in entry.data else "use",
                    f"{quote(workload.label)} is the label of two workloads",
                    "give each a `name` of its own",
                )
            by_label[workload.label] = workload
    return list(by_label.values())


def _uses(entry: Table) -> tuple[str, ...]:
    uses = entry.several("use", values.text)
    if len(uses) > 1 and "name" in entry.data:
        raise entry.wrong(
            "name",
            f"one name for {len(uses)} workloads",
            "give each an entry of its own, or leave the name out",
        )
    return uses


def _manifest(entry: Table, use: str, base: Path, find: Find) -> Manifest:
    try:
        return find(use, base)
    except WorkloadError as error:
        raise WorkloadError(f"{entry.place('use')}: {error.what}", remedy=error.remedy) from error


def _workload(
    entry: Table,
    use: str,
    datasets: Mapping[str, Table],
    environments: tuple[str, ...],
    manifest: Manifest,
) -> Workload:
    last = use.replace("\\", "/").rstrip("/").rpartition("/")[2]
    label = entry.get("name", values.name, "")
    if not label:
        label = entry.need("use", lambda _: values.name(last))
    names = _dataset_names(entry, manifest, datasets)
    return Workload(
        label=label,
        use=use,
        manifest=manifest,
        on=_on(entry, environments),
        axes=_params(entry.table("params"), manifest),
        datasets=tuple(_data(name, manifest, datasets.get(name)) for name in names),
        stages=cast("StagesMode", entry.get("stages", values.one_of("fused", "staged"), "fused")),
        place=entry.place(),
    )


def _on(entry: Table, environments: tuple[str, ...]) -> tuple[str, ...] | None:
    chosen = entry.choose("on", values.text)
    for name in chosen or ():
        if name not in environments:
            near = nearest(name, environments)
            raise entry.wrong(
                "on",
                f"environment {quote(name)} is unknown",
                f"{near} allowed: {', '.join(environments)}",
            )
    return chosen


def _params(table: Table, manifest: Manifest) -> Axes:
    """Return every parameter of the workload: its given values or its default."""
    _known_of(table, tuple(manifest.params), f"parameter of {manifest.name}")
    return {
        f"params.{name}": table.choose(name, param.accept) or (param.accept(param.default),)
        for name, param in manifest.params.items()
    }


def _known_of(table: Table, allowed: tuple[str, ...], what: str) -> None:
    for key in table.data:
        if key not in allowed:
            near = nearest(key, allowed)
            remedy = f"{near} allowed: {', '.join(allowed) or 'none'}"
            raise table.wrong(key, f"unknown {what}", remedy)


def _dataset_names(
    entry: Table, manifest: Manifest, datasets: Mapping[str, Table]
) -> tuple[str, ...]:
    chosen = entry.choose("dataset", values.text)
    choice = (*manifest.dataset, *(name for name in datasets if name not in manifest.dataset))
    if chosen is None:
        if len(manifest.dataset) > 1:
            raise entry.wrong("dataset", "missing", f"allowed: {', '.join(choice)}")
        return tuple(manifest.dataset)
    for name in chosen:
        if name not in choice:
            near = nearest(name, choice)
            raise entry.wrong(
                "dataset",
                f"{quote(name)} is not a dataset of {manifest.name} or of the study",
                f"{near} allowed: {', '.join(choice) or 'none'}",
            )
    return chosen


def _data(name: str, manifest: Manifest, table: Table | None) -> Data:
    """Resolve a dataset: the study's keys override the workload's defaults."""
    if table is None:
        built_in = manifest.dataset[name]
        return Data(name, built_in.generator, built_in.role, _with_defaults(built_in, {}))
    built_in = _base(table, name, manifest, table.get("generator", values.text, None))
    given = Table(
        table.file,
        table.key,
        {key: value for key, value in table.data.items() if key != "generator"},
    )
    _known_of(given, tuple(built_in.params), f"key of a {built_in.generator or name} dataset")
    axes = {key: given.several(key, _accept(built_in, key)) for key in given.data}
    return Data(name, built_in.generator, built_in.role, _with_defaults(built_in, axes))


def _base(table: Table, name: str, manifest: Manifest, generator: str | None) -> BuiltIn:
    """Return the built-in dataset that an entry of the study starts from."""
    own = manifest.dataset.get(name)
    if own is not None and generator in (None, own.generator):
        return own
    generators = manifest.generators()
    if generator is None:
        raise table.wrong(
            "generator", "missing", f"{manifest.name} has: {', '.join(generators) or 'none'}"
        )
    if generator not in generators:
        near = nearest(generator, generators)
        raise table.wrong(
            "generator",
            f"{quote(generator)} is not a generator of {manifest.name}",
            f"{near} allowed: {', '.join(generators) or 'none'}",
        )
    return generators[generator]


def _accept(built_in: BuiltIn, key: str) -> values.Convert[Scalar]:
    return lambda value: built_in.accept(key, value)


def _with_defaults(built_in: BuiltIn, given: Axes) -> Axes:
    return {
        f"dataset.{key}": given.get(key) or (built_in.accept(key, default),)
        for key, default in built_in.params.items()
    }
