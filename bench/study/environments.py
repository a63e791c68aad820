"""``[[environment]]`` and ``[site.NAME]``: where the study runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from bench.errors import StudyError, nearest
from bench.records.study import EnvironmentSpec, Shape
from bench.records.values import Scalar
from bench.settings import KindSettings, keyed, recorded, setting_uses, whole
from bench.study import values
from bench.study.table import Table
from bench.text import quote

Kinds = Mapping[str, type[KindSettings]]
Axes = Mapping[str, tuple[Scalar, ...]]

DEFAULTS = ("workers", "timeout", "retries", "reuse", "pause")
SHARED_KEYS = ("kind", *DEFAULTS, "worker", "driver", "conf")
SHAPE_KEYS = ("cores", "memory", "cpu_limit")
GPU_KEYS = ("gpus", "gpu")  # of workers, if the kind has GPUs

# The worker count and the shapes set these; conf must not set them again.
_RESERVED = re.compile(
    r"spark\.(master|submit\.deploymode|cores\.max|dynamicallocation(\..*)?"
    r"|executor\.(instances|cores|memory(overhead(factor)?)?|pyspark\.memory)"
    r"|driver\.(cores|memory(overhead(factor)?)?))"
)


@dataclass(frozen=True)
class Environment:
    """One environment, checked; ``axes`` maps a factor's path to its values, ``workers`` first."""

    spec: EnvironmentSpec
    engines: frozenset[str] | None
    axes: Axes
    timeout: float
    retries: int
    reuse: bool
    pause: float
    place: str


def environments(top: Table, sites: Mapping[str, Table], kinds: Kinds) -> list[Environment]:
    """Return the study's environments, in its order; names are unique."""
    for site in sites.values():
        _check_site(site, kinds)
    by_name: dict[str, Environment] = {}
    for entry in top.array("environment"):
        environment = _environment(entry, top, sites, kinds)
        if environment.spec.name in by_name:
            raise entry.wrong(
                "name" if "name" in entry.data else "",
                f"{quote(environment.spec.name)} is the name of two environments",
                "give each a name of its own",
            )
        by_name[environment.spec.name] = environment
    return list(by_name.values())


def _environment(entry: Table, top: Table, sites: Mapping[str, Table], kinds: Kinds) -> Environment:
    merged = _merged(entry, top, sites)
    kind = merged.need("kind", _known(kinds, "kind"))
    default_name = merged.get("use", values.name, kind)
    settings = _settings(merged, kinds[kind])
    return Environment(
        spec=EnvironmentSpec(
            name=merged.get("name", values.name, default_name),
            kind=kind,
            settings=whole(settings),
            keyed=keyed(settings),
            recorded=recorded(settings),
        ),
        engines=settings.engines,
        axes=_axes(merged, settings.gpus),
        timeout=merged.get("timeout", values.above_zero, 1800.0),
        retries=merged.get("retries", values.whole(0), 0),
        reuse=merged.get("reuse", values.flag, True),
        pause=merged.get("pause", values.duration, 0.0),
        place=entry.place(),
    )


def _merged(entry: Table, top: Table, sites: Mapping[str, Table]) -> Table:
    """Merge the entry, its site and the study's defaults, key by key, in this priority."""
    layers = [Table(top.file, "", {key: top.data[key] for key in DEFAULTS if key in top.data})]
    if "use" in entry.data:
        layers.append(sites[entry.need("use", _known(sites, "site"))])
    data: dict[str, object] = {}
    origins: dict[str, tuple[str, str]] = {}
    for layer in layers:
        data |= layer.data
        origins |= {key: layer.where(key) for key in layer.data}
    data |= entry.data
    inherited = {key: place for key, place in origins.items() if key not in entry.data}
    return Table(entry.file, entry.key, data, inherited)


def _known(choice: Iterable[str], what: str) -> values.Convert[str]:
    def convert(value: object) -> str:
        if not isinstance(value, str) or value not in choice:
            near = nearest(value, choice) if isinstance(value, str) else ""
            words = ", ".join(choice) or "none"
            raise ValueError(f"{what} {quote(value)} is unknown; {near} allowed: {words}")
        return value

    return convert


def _check_site(site: Table, kinds: Kinds) -> None:
    """Reject wrong keys of a site, even if no environment uses it."""
    for key in ("name", "use"):
        if key in site.data:
            raise site.wrong(key, "a site has none", "it belongs to the [[environment]]")
    if "kind" in site.data:
        kind = site.need("kind", _known(kinds, "kind"))
        site.only((*SHARED_KEYS, *_fields(kinds[kind])))


def _fields(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(field.encode_name for field in msgspec.structs.fields(struct))


def _settings(merged: Table, struct: type[KindSettings]) -> KindSettings:
    """Return the kind's own settings, complete."""
    own = _fields(struct)
    merged.only(("name", "use", *SHARED_KEYS, *own))
    given = {key: value for key, value in merged.data.items() if key in own}
    try:
        return msgspec.convert(given, struct, strict=True)
    except msgspec.ValidationError as error:
        raise _settings_error(merged, error, struct) from error


def _settings_error(
    merged: Table, error: msgspec.ValidationError, struct: type[KindSettings]
) -> StudyError:
    """Return the error for invalid settings; it does not repeat a literal secret."""
    what, _, path = str(error).partition(" - at ")
    key = path.strip("`").removeprefix("$").removeprefix(".")
    text = what.replace("`", "'")
    if key in [path for path, use in setting_uses(struct) if use is not None and use.secret]:
        text = (
            'a secret is never written into a study; write { env = "NAME" }, { file = "PATH" } '
            'or { keyring = "SERVICE/USER" }'
        )
    elif isinstance(merged.data.get(key), (str, int, float)):  # a table may contain a secret
        text = f"{quote(merged.data[key])} is not allowed; {text[:1].lower()}{text[1:]}"
    head, dot, rest = key.partition(".")
    return StudyError(f"{merged.place(head)}{dot}{rest}: {text}")


def _axes(merged: Table, gpus: bool) -> Axes:
    workers: tuple[Scalar, ...] = merged.several("workers", values.whole(1))
    return {
        "workers": workers,
        **_shape(merged.table("worker"), "worker", gpus),
        **_shape(merged.table("driver"), "driver"),
        **_conf(merged.table("conf")),
    }


def _shape(table: Table, role: str, gpus: bool = False) -> Axes:
    table.only((*SHAPE_KEYS, *GPU_KEYS) if gpus else SHAPE_KEYS)
    default = Shape()
    axes: dict[str, tuple[Scalar, ...]] = {
        f"{role}.cores": table.choose("cores", values.whole(1)) or (default.cores,),
        f"{role}.memory": table.choose("memory", values.memory) or (default.memory,),
    }
    limits = table.choose("cpu_limit", values.positive)
    if limits is not None:
        axes[f"{role}.cpu_limit"] = limits
    return {**axes, **_gpus(table, role)} if gpus else axes


def _gpus(table: Table, role: str) -> Axes:
    """Return the axes of GPU count and kind, if the study has either."""
    count, kind = table.choose("gpus", values.whole(1)), table.choose("gpu", values.text)
    if count is None and kind is None:
        return {}
    if count is None or kind is None:
        given, lacking = ("gpu", "gpus") if count is None else ("gpus", "gpu")
        raise table.wrong(given, f"{given} without {lacking}", "set both, or neither")
    return {f"{role}.gpus": count, f"{role}.gpu": kind}


def _conf(table: Table) -> Axes:
    """Return an engine's settings; TOML reads ``spark.a.b = 1`` as nested tables."""
    axes: dict[str, tuple[Scalar, ...]] = {}
    for path, holder, key in _leaves(table, ""):
        if _RESERVED.fullmatch(path.lower()):
            raise holder.wrong(
                key, "not allowed in conf", "set `workers`, `worker` and `driver` instead"
            )
        if f"conf.{path}" in axes:
            raise holder.wrong(key, f"{path} is given twice")
        axes[f"conf.{path}"] = holder.several(key, values.setting)
    return axes


def _leaves(table: Table, prefix: str) -> Iterable[tuple[str, Table, str]]:
    for key, value in table.data.items():
        if isinstance(value, dict):
            yield from _leaves(table.table(key), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", table, key
