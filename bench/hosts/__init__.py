"""Hosts and their processes, over one agent. What only some providers and hosts can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from bench.contracts import Host


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """What one machine has: usable ``cores``; ``memory`` in all and ``available`` now, in bytes."""

    cores: int
    memory: int
    available: int


@runtime_checkable
class SingleMachine(Protocol):
    """A provider whose hosts are all parts of one machine."""

    def capacity(self) -> Capacity:
        """Return what that machine has."""


@runtime_checkable
class InstallsEngines(Protocol):
    """A provider that puts an engine's own software in place on its hosts."""

    def install_engine(self, hosts: Sequence[Host], engine: str) -> list[Host]:
        """Have it there, once a digest; return the hosts, others in place of those that failed.

        LaunchFailed names the hosts where it cannot be, when no others can take their place.
        """


@runtime_checkable
class Provisioned(Protocol):
    """A host that was made for the cluster: a clone, a cloud's machine."""

    provision_seconds: float | None  # None: not known
