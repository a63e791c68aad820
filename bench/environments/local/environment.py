"""This machine as an environment: every worker is a part of it."""

from __future__ import annotations

from collections.abc import Mapping

from bench.contracts import Environment
from bench.engines import ENGINES
from bench.environments.host_environment import GIB, HostEnvironment
from bench.environments.local.provider import LocalProvider
from bench.hosts.machine import this_machine
from bench.records.study import EnvironmentSpec
from bench.settings import KindSettings

KIND = "local"


class Settings(KindSettings, frozen=True, kw_only=True):
    """The kind has no keys of its own."""

    engines = frozenset(ENGINES)
    shares_machine = True

    @classmethod
    def identity(cls) -> Mapping[str, str]:
        """Return CPU model, cores and whole GiB: cells of another machine are other cells."""
        machine = this_machine()
        return {
            "cpu_model": machine.cpu_model,
            "cores": str(machine.cores),
            "memory": f"{round(machine.memory / GIB)} GiB",
        }


class LocalEnvironment(HostEnvironment):
    """Spark and TensorFlow on this machine."""

    kind = KIND

    def __init__(self) -> None:
        """Use this machine's hosts for both engines."""
        super().__init__(LocalProvider(), ENGINES)


def build(spec: EnvironmentSpec) -> Environment:
    """Return this machine's environment."""
    Settings.of(spec)
    return LocalEnvironment()
