"""The kinds of environment, each a module with ``KIND``, ``Settings``, ``ENVIRONMENT`` and
``build``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType

import msgspec

from bench.contracts import Environment
from bench.errors import StudyError, nearest
from bench.records.study import EnvironmentSpec

KINDS = ("local", "ssh", "vsphere", "fake")


def kinds() -> Mapping[str, type[msgspec.Struct]]:
    """Return the settings struct of each kind: the keys that a study may give it."""
    return {kind: _module(kind).Settings for kind in KINDS}


def build(spec: EnvironmentSpec) -> Environment:
    """Return the environment that a study describes; StudyError for an unknown kind."""
    if spec.kind not in KINDS:
        raise StudyError(
            f"environment {spec.name!r}: kind {spec.kind!r} is unknown: {', '.join(KINDS)}",
            remedy=nearest(spec.kind, KINDS),
        )
    built = _module(spec.kind).build(spec)
    if not isinstance(built, Environment):
        raise TypeError(f"the kind {spec.kind} built {built!r}")
    return built


def identity(spec: EnvironmentSpec) -> Mapping[str, str]:
    """Return facts of an environment's machines that are part of cell keys; asks no machine."""
    return environment_class(spec.kind).identity()


def shares_machine(spec: EnvironmentSpec) -> bool:
    """Return whether an environment's workers are parts of this very machine."""
    return environment_class(spec.kind).shares_machine


def environment_class(kind: str) -> type[Environment]:
    """Return the class of a kind's environments; it knows what needs no connection."""
    found: type[Environment] = _module(kind).ENVIRONMENT
    return found


def _module(kind: str) -> ModuleType:
    """Import a kind when it is asked for: some bring heavy libraries."""
    return importlib.import_module(f"{__name__}.{kind}")
