"""A channel to the agent on a host: requests, answers and files."""

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

    ``keepalive`` is the time between two keep-alive messages; three without an answer cut the
    connection.
    """

    connect: float = 15.0
    answer: float = 30.0
    lost: float = 30.0
    keepalive: float = 5.0


class AgentChannel(ABC):
    """A channel to one agent, opened when it is first used; requests take turns.

    ``name`` is the host as the study writes it, ``label`` its name in messages; ``peer`` is the
    IP address at which the harness reaches it; ``greeting`` holds the facts that the agent sends
    first; ``harness`` is the harness's own process id, if it runs on that host.
    """

    name: str
    label: str
    peer: str = ""
    harness: int | None = None
    greeting: Mapping[str, Any]

    def __init__(self, timeouts: Timeouts) -> None:
        """Open nothing yet."""
        self.timeouts = timeouts
        self.greeting = {}
        self._lock = threading.RLock()

    def call(self, op: str, *, timeout: float | None = None, **arguments: object) -> Any:
        """Ask the agent for ``op``; reopen a lost channel and repeat the request.

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
    def own_processes(self) -> tuple[int, ...]:
        """The harness's own processes on the host: the agent, and the harness if it runs there."""
        agent = int(self.greeting["pid"])
        return (agent,) if self.harness is None else (agent, self.harness)

    @abstractmethod
    def connect(self) -> None:
        """Try once to open it; LaunchFailed gives the reason for a failure."""

    @abstractmethod
    def close(self) -> None:
        """Close it; processes that it started keep running."""

    @abstractmethod
    def abort(self) -> None:
        """Abort the call in progress: it raises HostLost."""

    @abstractmethod
    def send(self, source: Path, target: str) -> None:
        """Copy a whole file to the host; OSError or HostLost."""

    @abstractmethod
    def fetch(self, files: Sequence[tuple[str, Path]]) -> None:
        """Copy files of the host to paths on this machine; OSError or HostLost."""

    @abstractmethod
    def read(self, path: str, offset: int = 0) -> bytes:
        """Return a file's bytes from ``offset`` on, as far as they are written."""

    @abstractmethod
    def put(self, source: Path, target: str, cache: str) -> None:
        """Copy a file to the host; a remote host keeps it in its cache, so it travels only once."""

    def pause(self, process: Sequence[Any], seconds: float) -> None:
        """Wait until a spawned process may have ended, at most ``seconds``."""
        time.sleep(seconds)

    @abstractmethod
    def _ask(self, request: bytes, timeout: float) -> dict[str, Any]:
        """Return the agent's answer to a request (a line)."""
