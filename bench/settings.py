"""The settings of an environment kind: what each is for, and what the kind can do.

Each field of a kind's ``Settings``, nested structs included, carries one ``setting(...)``:

    vcenter: Annotated[str, setting(keyed=True)]
    spares: Annotated[int, setting(recorded=True)] = 1
    user: Annotated[str | None, setting()] = None

What is not named here stays on this machine: it enters no record and no key.
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
class Mark:
    """What one setting is for; see ``setting``."""

    keyed: bool
    recorded: bool
    secret: bool


def setting(*, keyed: bool = False, recorded: bool = False, secret: bool = False) -> Mark:
    """Mark a setting: by default it is private, in no record and in no key.

    A ``keyed`` one is part of what is measured: another value is another cell (and it is recorded:
    a record must show what was measured). A ``recorded`` one is shown in records only. A ``secret``
    is neither, and its value is never repeated in a message.
    """
    if secret and (keyed or recorded):
        raise TypeError("a secret is neither keyed nor recorded")
    return Mark(keyed=keyed, recorded=keyed or recorded, secret=secret)


class KindSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a study may say of an environment of one kind, and what the kind can do.

    ``engines`` are those that it can run, None for all that there are. Workers may have GPUs where
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
    """Return the settings that belong to what is measured."""
    return _chosen(settings, lambda mark: mark.keyed)


def recorded(settings: msgspec.Struct) -> Mapping[str, object]:
    """Return the settings that a record may hold."""
    return _chosen(settings, lambda mark: mark.recorded)


def whole(settings: msgspec.Struct) -> Mapping[str, object]:
    """Return all settings."""
    return cast("dict[str, object]", msgspec.to_builtins(settings, str_keys=True))


def marks(struct: type[msgspec.Struct]) -> Iterator[tuple[str, Mark | None]]:
    """Yield each setting's path (``ssh.key``, ``hosts.user``: of each host) and its mark."""
    own = _own_marks(struct)
    for field in msgspec.structs.fields(struct):
        mark = own[field.encode_name]
        yield field.encode_name, mark
        if mark is not None and mark.secret:
            continue  # where a secret is to be read from
        for nested in _structs(field.type):
            for path, inner in marks(nested):
                yield f"{field.encode_name}.{path}", inner


def _chosen(settings: msgspec.Struct, wanted: Callable[[Mark], bool]) -> dict[str, object]:
    own = _own_marks(type(settings))
    defaults = type(settings).__struct_config__.omit_defaults
    chosen: dict[str, object] = {}
    for field in msgspec.structs.fields(settings):
        mark = own[field.encode_name]
        value = getattr(settings, field.name)
        if mark is not None and wanted(mark) and not (defaults and value == field.default):
            chosen[field.encode_name] = _plain(value, wanted)
    return chosen


def _plain(value: object, wanted: Callable[[Mark], bool]) -> object:
    if isinstance(value, msgspec.Struct):
        return _chosen(value, wanted)
    if isinstance(value, (list, tuple)):
        return [_plain(one, wanted) for one in value]
    return msgspec.to_builtins(value, str_keys=True)


@functools.cache
def _own_marks(struct: type[msgspec.Struct]) -> Mapping[str, Mark | None]:
    """Return the mark of each field of a struct, None for a field without one."""
    hints = typing.get_type_hints(struct, include_extras=True)
    return {
        field.encode_name: next(
            (
                one
                for one in getattr(hints[field.name], "__metadata__", ())
                if isinstance(one, Mark)
            ),
            None,
        )
        for field in msgspec.structs.fields(struct)
    }


def _structs(of: object) -> Iterator[type[msgspec.Struct]]:
    """Yield the structs that a field's type names, wherever in it."""
    if isinstance(of, type) and issubclass(of, msgspec.Struct):
        yield of
    for inner in typing.get_args(of):
        yield from _structs(inner)
