"""Where processes can be started: this machine. What only some hosts or providers can say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from bench.contracts import Host


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What one machine has: usable ``cores``; ``memory`` in all and ``available`` now, in bytes."""

    cores: int
    memory: int
    available: int


@runtime_checkable
class Shared(Protocol):
    """A provider whose hosts are all parts of one machine."""

    def room(self) -> Room:
        """Return what that machine has."""


@runtime_checkable
class InstallsEngines(Protocol):
    """A provider that puts an engine's own software in place on its hosts."""

    def equip(self, hosts: Sequence[Host], engine: str) -> list[Host]:
        """Have it there, once a digest; return the hosts, others in place of those that failed.

        LaunchFailed names the hosts where it cannot be, when no others can take their place.
        """


@runtime_checkable
class Remote(Protocol):
    """A host on another machine, with its own Java: nothing of this machine's applies to it."""

    def variable(self, name: str) -> str | None:
        """Return an environment variable as the user has it there."""


@runtime_checkable
class Made(Protocol):
    """A host that was made for the cluster: a clone, a cloud's machine."""

    made_seconds: float | None  # None: not known


@runtime_checkable
class Throttled(Protocol):
    """A host that knows when something other than its own limit held it back."""

    def throttled(self) -> float | None:
        """Return the seconds so far, or None where that is unknown."""
