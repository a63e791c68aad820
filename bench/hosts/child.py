"""A channel to this machine: the agent as a child process of the harness."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from bench.errors import HostLost
from bench.hosts.agent import program
from bench.hosts.agent.processes import started
from bench.hosts.channel import AgentChannel, Timeouts

_CLOSING = 5.0  # seconds in which the agent must end after its input has


class ChildChannel(AgentChannel):
    """The agent in a process of its own, because it forks and the harness has threads.

    It has a session of its own, because Ctrl-C must not end it: the harness still needs it to
    stop processes. It ends when its input ends, also when the harness is killed.
    """

    name = "127.0.0.1"
    label = "this machine"
    peer = "127.0.0.1"

    def __init__(self, timeouts: Timeouts | None = None) -> None:
        """Start no process yet."""
        super().__init__(timeouts or Timeouts())
        self.harness = os.getpid()
        self._agent: subprocess.Popen[bytes] | None = None
        self._aborted = False
        self._end: Callable[[], object] = lambda: None

    def connect(self) -> None:
        """Start the agent, unless it runs."""
        with self._lock:
            if self._agent is not None and self._agent.poll() is None:
                return
            self.close()
            self._agent = subprocess.Popen(
                [sys.executable, "-P", "-u", "-c", program.BOOT],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            self._end = weakref.finalize(self, _end, self._agent)
            self.greeting = self._exchange(program.message(), self.timeouts.connect)["ok"]

    def close(self) -> None:
        """End the agent."""
        with self._lock:
            self._end()
            self._agent = None

    def abort(self) -> None:
        """Kill the agent, so that a call in progress fails."""
        self._aborted = True
        if (agent := self._agent) is not None:
            agent.kill()

    def send(self, source: Path, target: str) -> None:
        """Copy a file."""
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)

    def fetch(self, files: Sequence[tuple[str, Path]]) -> None:
        """Copy files."""
        for source, target in files:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    def read(self, path: str, offset: int = 0) -> bytes:
        """Return a file's bytes from ``offset`` on."""
        with Path(path).open("rb") as file:
            file.seek(offset)
            return file.read()

    def put(self, source: Path, target: str, cache: str) -> None:
        """Copy a file, without a cache: it is already on this machine."""
        self.send(source, target)

    def pause(self, process: Sequence[Any], seconds: float) -> None:
        """Wait for the end of the process's monitor, else of the process, without polling."""
        for pid, begun in ((process[2], process[3]), (process[0], process[1])):
            with contextlib.suppress(ProcessLookupError):
                descriptor = os.pidfd_open(pid)
                try:
                    if begun is not None and started(pid) == begun:
                        _readable(descriptor, seconds)
                        return
                finally:
                    os.close(descriptor)

    def _ask(self, request: bytes, timeout: float) -> dict[str, Any]:
        """Send a request; restart an agent that died, once."""
        with self._lock:
            self._aborted = False
            try:
                self.connect()
                return self._exchange(request, timeout)
            except HostLost:
                self.close()
                if self._aborted:
                    raise
            except BaseException:
                self.close()  # the answer to an interrupted request must not answer the next
                raise
            self.connect()
            return self._exchange(request, timeout)

    def _exchange(self, request: bytes, timeout: float) -> dict[str, Any]:
        agent = self._agent
        assert agent is not None
        assert agent.stdin is not None
        assert agent.stdout is not None
        try:
            agent.stdin.write(request)
            agent.stdin.flush()
        except OSError as error:
            raise HostLost(f"the agent on {self.label} has ended") from error
        line = _line(agent.stdout, timeout)
        if not line.endswith(b"\n"):
            raise HostLost(f"the agent on {self.label} did not answer for {timeout:g} s")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _line(stream: IO[bytes], timeout: float) -> bytes:
    """Return the bytes up to a line's end, the stream's end, or the timeout in seconds."""
    line, ends = b"", time.monotonic() + timeout
    while not line.endswith(b"\n"):
        if not _readable(stream.fileno(), ends - time.monotonic()):
            break
        if not (piece := os.read(stream.fileno(), 1 << 16)):
            break
        line += piece
    return line


def _readable(descriptor: int, seconds: float) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(max(0.0, seconds) * 1000))


def _end(agent: subprocess.Popen[bytes]) -> None:
    """Close the agent's input and wait for its end."""
    with contextlib.suppress(OSError):
        if agent.stdin is not None:
            agent.stdin.close()
    try:
        agent.wait(_CLOSING)
    except subprocess.TimeoutExpired:  # in the middle of a request that nobody waits for
        agent.kill()
        agent.wait()
    if agent.stdout is not None:
        agent.stdout.close()
