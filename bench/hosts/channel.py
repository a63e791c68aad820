"""The way to the agent on a host: requests and answers, and files."""

from __future__ import annotations

import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import LaunchFailed


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds until a connection is up, a request is answered, and a host counts as lost.

    ``keepalive``: between questions whether the other side is still there; three without an
    answer cut the connection.
    """

    connect: float = 15.0
    answer: float = 30.0
    lost: float = 30.0
    keepalive: float = 5.0


class AgentChannel(ABC):
    """A channel to one agent, opened when it is first used; requests take turns.

    ``name`` is the host's as the study writes it, ``label`` what messages call it; ``peer`` the
    IP address at which the harness reaches it; ``greeting`` the facts with which the agent
    greeted; ``harness`` the harness's own process, where it is on that host.
    """

    name: str
    label: str
    peer: str = ""
    harness: int | None = None
    greeting: Mapping[str, Any]

    def __init__(self, timeouts: Timeouts) -> None:
        """Keep them; nothing is opened yet."""
        self.timeouts = timeouts
        self.greeting = {}
        self._lock = threading.RLock()

    def call(self, op: str, *, timeout: float | None = None, **arguments: object) -> Any:
        """Ask the agent for ``op``; a lost channel is opened again and the request repeated.

        Raises HostLost when there is no answer within ``timeout`` seconds, LaunchFailed when the
        host refuses, and OSError when the operation fails there.
        """
        request = json.dumps({"op": op, **arguments}).encode() + b"\n"
        answer = self._ask(request, self.timeouts.answer if timeout is None else timeout)
        if "remedy" in answer:
            raise LaunchFailed(f"{self.label}: {answer['error']}", remedy=answer["remedy"])
        if "error" in answer:
            raise OSError(answer["errno"], answer["error"])
        return answer["ok"]

    @property
    def ours(self) -> tuple[int, ...]:
        """The processes over there that are the harness's own: the agent, and itself."""
        agent = int(self.greeting["pid"])
        return (agent,) if self.harness is None else (agent, self.harness)

    @abstractmethod
    def connect(self) -> None:
        """Try once to open it; LaunchFailed says why it cannot be."""

    @abstractmethod
    def close(self) -> None:
        """Close it; what was started over there goes on."""

    @abstractmethod
    def abort(self) -> None:
        """Let the call that another thread waits for raise HostLost."""

    @abstractmethod
    def send(self, source: Path, target: str) -> None:
        """Copy a file there, whole; OSError or HostLost."""

    @abstractmethod
    def fetch(self, files: Sequence[tuple[str, Path]]) -> None:
        """Copy files from there, each to its place here; OSError or HostLost."""

    @abstractmethod
    def read(self, path: str, offset: int = 0) -> bytes:
        """Return a file's bytes from ``offset`` on, as far as they are written."""

    @abstractmethod
    def put(self, source: Path, target: str, cache: str) -> None:
        """Copy a file there; where that costs a journey, its bytes travel once a digest."""

    def pause(self, known: Sequence[Any], seconds: float) -> None:
        """Wait until a spawned process may have ended, at most ``seconds``."""
        time.sleep(seconds)

    @abstractmethod
    def _ask(self, request: bytes, timeout: float) -> dict[str, Any]:
        """Return the agent's answer to a request (a line)."""
