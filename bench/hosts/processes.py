"""Find and end processes by marks in their environment (Linux: /proc/<pid>/environ).

A child inherits its parent's environment, also into process groups and sessions of its own, so
a mark finds what a process group misses (PySpark's worker daemon leaves its group).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from bench.errors import MeasureError

OWNER = "BENCHCAST_OWNER"  # study/session/cluster
HOST = "BENCHCAST_HOST"  # the host's number within its cluster
PROCESS = "BENCHCAST_PROCESS"  # one spawned process and its children

PROC = Path("/proc")
GRACE = 3.0  # seconds between SIGTERM and SIGKILL
LIMIT = 20.0  # seconds until we say that something does not die
_TICK = os.sysconf("SC_CLK_TCK")
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


def environment(pid: int) -> Mapping[str, str]:
    """Return a process's start environment; empty for zombies, other users' and gone ones."""
    try:
        raw = (PROC / str(pid) / "environ").read_bytes()
    except _GONE:
        return {}
    pairs = (entry.partition(b"=") for entry in raw.split(b"\0") if entry)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def scan(marks: Mapping[str, str] | None = None) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield (pid, environment) of living processes that carry ``marks`` (default: any owner)."""
    for entry in os.listdir(PROC):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        found = environment(int(entry))
        if OWNER not in found:
            continue
        if all(found.get(name) == value for name, value in (marks or {}).items()):
            yield int(entry), found


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of its children that it waited for, in seconds."""
    try:
        stat = (PROC / str(pid) / "stat").read_text(errors="replace")
    except _GONE:
        return 0.0
    fields = stat.rpartition(")")[2].split()  # from field 3 (state) on: proc(5)
    return sum(map(int, fields[11:15])) / _TICK


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each that still exists."""
    for pid in pids:
        with contextlib.suppress(*_GONE):
            os.kill(pid, number)


def end(
    find: Callable[[], list[int]],
    what: str,
    *,
    grace: float = GRACE,
    limit: float = LIMIT,
) -> None:
    """End all that ``find`` finds: SIGTERM, ``grace`` seconds, SIGKILL; return when none is left.

    Raises MeasureError, naming ``what``, when some are still there after ``limit`` seconds.
    """
    started = time.monotonic()
    termed: set[int] = set()
    while pids := find():
        spent = time.monotonic() - started
        if spent > limit:
            raise MeasureError(
                f"{what}: {len(pids)} processes did not end within {limit:g} s of SIGKILL"
                f" (pid {', '.join(map(str, pids[:5]))})",
                remedy="look at them with ps; one in state D waits for a disk or network share",
            )
        if spent >= grace:
            signal_all(pids, signal.SIGKILL)
        else:
            signal_all([pid for pid in pids if pid not in termed], signal.SIGTERM)
            termed.update(pids)
        time.sleep(0.03)
