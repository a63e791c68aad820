"""Ranks: processes of one job on hosts, which end together."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from bench.contracts import Host, Outcome, Process
from bench.engines.logs import exit_text, last_error
from bench.errors import HostLost
from bench.text import redact

LOOK = 0.05  # seconds between two polls of several processes


class Rank(msgspec.Struct):
    """One process of a job and the host that it runs on."""

    host: Host
    process: Process


class Ranks:
    """The processes of one job: a failed one ends its peers and is named."""

    def __init__(self, ranks: Sequence[Rank]) -> None:
        """Follow these processes, which have just started."""
        self.ranks = list(ranks)
        self.failed: tuple[int, int] | None = None  # (rank, exit code)
        self.lost = ""  # which host was lost
        self.started = time.monotonic()
        self.ended: float | None = None
        self.cancelled = False
        self._lock = threading.Lock()

    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds until all ended (one failure ends its peers)."""
        deadline = time.monotonic() + timeout
        while not self._poll():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if len(self.ranks) == 1:
                self.ranks[0].process.wait(left)
            else:
                time.sleep(min(LOOK, left))
        return True

    def kill(self) -> None:
        """End the running processes; return when they are gone."""
        with self._lock:
            for rank in self.ranks:
                rank.process.kill()
            self.ended = self.ended or time.monotonic()

    def cancel(self) -> None:
        """Cancel the job: stop its running processes; idempotent."""
        if not self._poll():
            self.cancelled = True
        self.kill()

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield (rank, line) of all logs as they grow, until all have ended."""
        readers = [_Reader(rank.process) for rank in self.ranks]
        with contextlib.suppress(HostLost, FileNotFoundError):  # for progress only, so it may end
            while True:
                over = self.ended is not None or all(
                    rank.process.poll() is not None for rank in self.ranks
                )
                fresh = [(i, line) for i, reader in enumerate(readers) for line in reader.lines()]
                yield from fresh
                if over and not fresh:
                    return
                if not fresh:
                    time.sleep(0.2)

    def outcome(self, logs: Mapping[int, Path], missing: list[str]) -> Outcome:
        """Return the outcome; ``logs`` are already on this machine."""
        reason = ""
        if self.cancelled:
            reason = "cancelled"
        elif self.lost:
            reason = self.lost
        elif self.failed is not None:
            rank, code = self.failed
            named = f"rank {rank} of {len(self.ranks)} " if len(self.ranks) > 1 else "the driver "
            error = last_error(logs[rank]) if rank in logs else ""
            reason = f"{named}{exit_text(code)}" + (f": {error}" if error else "")
        return Outcome(
            status="failed" if reason else "ok",
            reason=reason,
            logs=dict(logs),
            machines=tuple(rank.host.machine().digest for rank in self.ranks),
            seconds=(self.ended or time.monotonic()) - self.started,
            missing=tuple(missing),
        )

    def _poll(self) -> bool:
        """Poll the processes; True when all have ended. A lost host ends all."""
        try:
            return self._poll_ranks()
        except HostLost as error:
            self.lost = self.lost or redact(error.what)
            self.kill()
            return True

    def _poll_ranks(self) -> bool:
        codes = [rank.process.poll() for rank in self.ranks]
        bad = [(i, code) for i, code in enumerate(codes) if code]
        if bad and self.failed is None and not self.cancelled and self.ended is None:
            self.failed = bad[0]
            self.ended = time.monotonic()
            self.kill()
            return True
        if all(code is not None for code in codes):
            self.ended = self.ended or time.monotonic()
            return True
        return False


class _Reader:
    """Reads whole lines of an output that grows."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._offset = 0
        self._part = b""

    def lines(self) -> Iterator[str]:
        fresh = self._process.read(self._offset)
        self._offset += len(fresh)
        *whole, self._part = (self._part + fresh).split(b"\n")
        yield from (line.decode(errors="replace").rstrip("\r") for line in whole)
