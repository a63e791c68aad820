"""The kinds of environment: built in, and from other packages.

A kind is a module or package with ``KIND`` (its name), ``Settings`` (a KindSettings) and
``build(spec)``, which returns an Environment. Another package names its module in the entry points
``benchcast.environments``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from importlib import metadata
from types import ModuleType

from bench.contracts import Environment
from bench.errors import StudyError, nearest
from bench.records.study import EnvironmentSpec
from bench.settings import KindSettings

KINDS = ("local", "ssh", "vsphere", "fake")
GROUP = "benchcast.environments"


class Kinds(Mapping[str, type[KindSettings]]):
    """Kind -> the struct of its settings; the lookup imports the kind.

    Some kinds import heavy libraries, and a broken plug-in must not affect the others.
    """

    def __getitem__(self, kind: str) -> type[KindSettings]:
        """Return the kind's settings struct, which also lists its abilities."""
        settings: type[KindSettings] = _module(kind).Settings
        return settings

    def __contains__(self, kind: object) -> bool:
        """Return whether the kind exists, even if it cannot be imported."""
        return kind in _names()

    def __iter__(self) -> Iterator[str]:
        """Yield the names: built-in ones, then those of plug-ins."""
        yield from _names()

    def __len__(self) -> int:
        """Return how many kinds there are."""
        return len(_names())


def kinds() -> Mapping[str, type[KindSettings]]:
    """Return the settings struct of each kind."""
    return Kinds()


def shares_machine(kind: str) -> bool:
    """Return whether a kind's clusters run on this machine; False if it is not installed."""
    settings = kinds().get(kind)
    return settings is not None and settings.shares_machine


def identity(spec: EnvironmentSpec) -> Mapping[str, str]:
    """Return facts of an environment's machines that are part of cell keys; asks no machine."""
    settings = kinds().get(spec.kind)
    return {} if settings is None else settings.identity()


def build(spec: EnvironmentSpec) -> Environment:
    """Return the environment that a study describes; StudyError for an unknown kind.

    The caller closes it.
    """
    choice = _names()
    if spec.kind not in choice:
        raise StudyError(
            f"environment {spec.name!r}: kind {spec.kind!r} is unknown: {', '.join(choice)}",
            remedy=nearest(spec.kind, choice),
        )
    built = _module(spec.kind).build(spec)
    if not isinstance(built, Environment):
        raise StudyError(f"the kind {spec.kind!r} cannot be used: it built {built!r}")
    return built


def _names() -> tuple[str, ...]:
    return (*KINDS, *sorted(_plugins()))


def _module(kind: str) -> ModuleType:
    """Import a kind; KeyError for an unknown one, StudyError for a broken plug-in."""
    if kind in KINDS:
        return importlib.import_module(f"{__name__}.{kind.replace('-', '_')}")
    point = _plugins()[kind]
    package = point.dist.name if point.dist is not None else point.value
    try:
        module: ModuleType = point.load()
        if kind != module.KIND:
            raise AttributeError(f"KIND = {module.KIND!r}, not {kind!r}")
        if not callable(module.build) or not issubclass(module.Settings, KindSettings):
            raise TypeError("its Settings is not a KindSettings, or its build is not a function")
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise StudyError(
            f"the kind {kind!r} of the package {package} cannot be used: {why}",
            remedy=f"update {package}, or uninstall it",
        ) from error
    return module


def _plugins() -> dict[str, metadata.EntryPoint]:
    """Return the kinds of other packages by name; they cannot replace a built-in kind."""
    points = {point.name: point for point in metadata.entry_points(group=GROUP)}
    return {name: point for name, point in points.items() if name not in KINDS}
