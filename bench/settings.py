"""The settings of an environment kind, where each may be recorded, and the kind's abilities.

Each field of a kind's ``Settings``, nested structs included, carries one ``setting(...)``:

    vcenter: Annotated[str, setting(keyed=True)]
    spares: Annotated[int, setting(recorded=True)] = 1
    user: Annotated[str | None, setting()] = None

By default a setting stays on this machine: no record and no key contains it.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, cast

import msgspec

from bench.records.study import EnvironmentSpec


@dataclass(frozen=True)
class SettingUse:
    """Where a setting's value may go; see ``setting``."""

    keyed: bool
    recorded: bool
    secret: bool


def setting(*, keyed: bool = False, recorded: bool = False, secret: bool = False) -> SettingUse:
    """Annotate a setting; by default it is private, in no record and in no key.

    A ``keyed`` setting is part of what is measured: another value makes another cell. It is also
    recorded. A ``recorded`` setting appears in records only. A ``secret`` is neither, and no
    message repeats its value.
    """
    if secret and (keyed or recorded):
        raise TypeError("a secret is neither keyed nor recorded")
    return SettingUse(keyed=keyed, recorded=keyed or recorded, secret=secret)


class KindSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one kind of environment, and the kind's abilities.

    ``engines`` are those that it can run, None for all. Workers may have GPUs if
    ``gpus``. Kinds with ``shares_machine`` run on this very machine: their cells take turns.
    """

    engines: ClassVar[frozenset[str] | None] = None
    gpus: ClassVar[bool] = False
    shares_machine: ClassVar[bool] = False

    @classmethod
    def identity(cls) -> Mapping[str, str]:
        """Return facts of the machines that are known beforehand: part of a cell's key."""
        return {}

    @classmethod
    def of(cls, spec: EnvironmentSpec) -> Self:
        """Return the settings of a study's environment."""
        return msgspec.convert(dict(spec.settings), cls)


def keyed(settings: msgspec.Struct) -> Mapping[str, object]:
    """Return the settings that are part of what is measured."""
    return _chosen(settings, lambda use: use.keyed)


def recorded(settings: msgspec.Struct) -> Mapping[str, object]:
    """Return the settings that a record may hold."""
    return _chosen(settings, lambda use: use.recorded)


def whole(settings: msgspec.Struct) -> Mapping[str, object]:
    """Return all settings."""
    return cast("dict[str, object]", msgspec.to_builtins(settings, str_keys=True))


def setting_uses(struct: type[msgspec.Struct]) -> Iterator[tuple[str, SettingUse | None]]:
    """Yield each setting's path (``ssh.key``, ``hosts.user`` of each host) and its use."""
    own = _own_uses(struct)
    for field in msgspec.structs.fields(struct):
        use = own[field.encode_name]
        yield field.encode_name, use
        if use is not None and use.secret:
            continue  # its fields say where to read the secret
        for nested in _structs(field.type):
            for path, inner in setting_uses(nested):
                yield f"{field.encode_name}.{path}", inner


def _chosen(settings: msgspec.Struct, wanted: Callable[[SettingUse], bool]) -> dict[str, object]:
    own = _own_uses(type(settings))
    defaults = type(settings).__struct_config__.omit_defaults
    chosen: dict[str, object] = {}
    for field in msgspec.structs.fields(settings):
        use = own[field.encode_name]
        value = getattr(settings, field.name)
        if use is not None and wanted(use) and not (defaults and value == field.default):
            chosen[field.encode_name] = _plain(value, wanted)
    return chosen


def _plain(value: object, wanted: Callable[[SettingUse], bool]) -> object:
    if isinstance(value, msgspec.Struct):
        return _chosen(value, wanted)
    if isinstance(value, (list, tuple)):
        return [_plain(entry, wanted) for entry in value]
    return msgspec.to_builtins(value, str_keys=True)


@functools.cache
def _own_uses(struct: type[msgspec.Struct]) -> Mapping[str, SettingUse | None]:
    """Return the use of each field of a struct, None for a field without ``setting``."""
    hints = typing.get_type_hints(struct, include_extras=True)
    return {
        field.encode_name: next(
            (
                part
                for part in getattr(hints[field.name], "__metadata__", ())
                if isinstance(part, SettingUse)
            ),
            None,
        )
        for field in msgspec.structs.fields(struct)
    }


def _structs(of: object) -> Iterator[type[msgspec.Struct]]:
    """Yield the structs in a field's type, nested ones included."""
    if isinstance(of, type) and issubclass(of, msgspec.Struct):
        yield of
    for inner in typing.get_args(of):
        yield from _structs(inner)
