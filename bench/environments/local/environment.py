"""This machine as an environment: every worker is a part of it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bench.contracts import Environment
from bench.engines.spark.engine import SparkEngine
from bench.engines.tensorflow.engine import TensorFlowEngine
from bench.environments.host_environment import GIB, HostEnvironment
from bench.hosts import facts
from bench.hosts.local import LocalProvider
from bench.records.study import EnvironmentSpec

KIND = "local"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The kind has no keys of its own."""


class LocalEnvironment(HostEnvironment):
    """Spark and TensorFlow on this machine."""

    shares_machine = True

    def __init__(self) -> None:
        """Use this machine as it is."""
        super().__init__(
            LocalProvider(), {"spark": SparkEngine(), "tensorflow": TensorFlowEngine()}
        )

    @classmethod
    def identity(cls) -> Mapping[str, str]:
        """Return CPU model, cores and whole GiB: cells of another machine are other cells."""
        machine = facts.machine()
        return {
            "cpu_model": machine.cpu_model,
            "cores": str(machine.cores),
            "memory": f"{round(machine.memory / GIB)} GiB",
        }


ENVIRONMENT = LocalEnvironment


def build(spec: EnvironmentSpec) -> Environment:
    """Return this machine's environment."""
    msgspec.convert(dict(spec.settings), Settings)
    return LocalEnvironment()
