"""A process that was started here, in a session of its own, with its output in a file."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.errors import LaunchFailed
from bench.hosts import processes


class LocalProcess:
    """A process and all that it started, known by a mark in their environment.

    It is waited for with wait4, so that the CPU time of an ended process is known.
    """

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        folder: Path,
        output: Path,
        mark: Mapping[str, str],
    ) -> None:
        """Start ``argv`` in ``folder``; raises LaunchFailed when there is no such program."""
        self.output = output
        self.reaped_cpu = 0.0
        self._mark = dict(mark)
        self._lock = threading.Lock()
        try:
            with output.open("wb") as file:
                self._popen = subprocess.Popen(
                    list(argv),
                    env=dict(env),
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise LaunchFailed(f"{Path(argv[0]).name} did not start: {error.strerror}") from error

    @property
    def pid(self) -> int:
        """The process id, which is its group's and session's too."""
        return self._popen.pid

    def read(self, offset: int = 0) -> bytes:
        """Return its output from ``offset`` on."""
        with self.output.open("rb") as file:
            file.seek(offset)
            return file.read()

    def poll(self) -> int | None:
        """Return the exit code (minus the signal's number if one ended it), or None."""
        with self._lock:
            return self._reap()

    def wait(self, timeout: float) -> int | None:
        """Wait at most ``timeout`` seconds for the exit code, without polling."""
        with self._lock:
            if (code := self._reap()) is not None:
                return code
            descriptor = os.pidfd_open(self.pid)
        try:
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            poller.poll(max(0.0, timeout) * 1000)
        finally:
            os.close(descriptor)
        return self.poll()

    def terminate(self) -> None:
        """Send SIGTERM to its group, and return at once."""
        self._signal_group(signal.SIGTERM)

    def kill(self) -> None:
        """End it, its group and everything with its mark; returns when they are gone."""
        self._signal_group(signal.SIGTERM)
        if self.wait(processes.GRACE) is None:
            self._signal_group(signal.SIGKILL)
            self.wait(processes.LIMIT)
        processes.end(self._marked, self.output.stem)

    def _marked(self) -> list[int]:
        self.poll()
        return [pid for pid, _ in processes.scan(self._mark)]

    def _signal_group(self, number: signal.Signals) -> None:
        """Signal the group while its leader is unreaped: until then the number is surely ours."""
        with self._lock:
            if self._popen.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, number)

    def _reap(self) -> int | None:
        if self._popen.returncode is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.reaped_cpu = usage.ru_utime + usage.ru_stime
                self._popen.returncode = os.waitstatus_to_exitcode(status)
        return self._popen.returncode
