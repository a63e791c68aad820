"""Sample a host's load and that of marked processes, as JSON lines: standard library only.

It is one file, so that it can be sent to a host and run there:

    python sampler.py --interval 1 --out FILE --mark STUDY/SESSION/CLUSTER --scope 0=driver

One line a sample: ``t`` (seconds since the start, monotonic), ``wall_ns``, ``self_cpu`` (the
sampler's own CPU seconds so far) and ``rows``: one of the scope "host" and one for each
``--scope NUMBER=NAME``, whose processes carry BENCHCAST_HOST=NUMBER and the mark. CPU figures
are in cores' worth, memory in bytes, disk and network in bytes a second. It ends on SIGTERM or
when its parent dies, and says nothing when a figure cannot be read: then it is absent.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time

RESCAN = 10  # samples after which every process's mark is read anew
SECTOR = 512  # bytes, whatever the disk's own
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def read(path: str) -> str:
    """Return a file's text, or nothing when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def host_cpu(text: str) -> dict[str, float]:
    """Return CPU seconds of all cores by kind from /proc/stat (guest time is within user)."""
    for line in text.splitlines():
        if line.startswith("cpu "):
            user, nice, system, idle, wait, irq, soft, steal = map(int, line.split()[1:9])
            kinds = {"user": user + nice, "system": system + irq + soft}
            kinds |= {"iowait": wait, "steal": steal, "idle": idle}
            return {f"cpu_{kind}": ticks / _TICK for kind, ticks in kinds.items()}
    return {}


def disk_bytes(text: str, whole: set[str]) -> dict[str, float]:
    """Return bytes read and written of whole disks from /proc/diskstats."""
    lines = [line.split() for line in text.splitlines()]
    mine = [fields for fields in lines if len(fields) > 9 and fields[2] in whole]
    return {
        "disk_read": float(sum(int(fields[5]) for fields in mine) * SECTOR),
        "disk_write": float(sum(int(fields[9]) for fields in mine) * SECTOR),
    }


def net_bytes(text: str) -> dict[str, float]:
    """Return bytes received and sent over all interfaces from /proc/net/dev (loopback too)."""
    lines = [line.partition(":")[2].split() for line in text.splitlines() if ":" in line]
    return {
        "net_rx": float(sum(int(fields[0]) for fields in lines)),
        "net_tx": float(sum(int(fields[8]) for fields in lines)),
    }


def memory_used(text: str) -> dict[str, int]:
    """Return total minus available memory from /proc/meminfo, in bytes."""
    found = {line.partition(":")[0]: line.split()[1] for line in text.splitlines() if ":" in line}
    if "MemTotal" not in found or "MemAvailable" not in found:
        return {}
    return {"memory_used": (int(found["MemTotal"]) - int(found["MemAvailable"])) * 1024}


def whole_disks() -> set[str]:
    """Return physical disks: no loops, memory disks, device mapper or RAID on top of others."""
    try:
        names = os.listdir("/sys/block")
    except OSError:
        return set()
    return {name for name in names if not name.startswith(("loop", "ram", "zram", "dm-", "md"))}


class Marked:
    """The processes that carry the mark, by scope; known pids are cached."""

    def __init__(self, mark: str, scopes: dict[str, str]) -> None:
        """Follow the processes of ``mark``; ``scopes`` maps a host number to its name."""
        self._mark = f"BENCHCAST_OWNER={mark}"
        self._numbers = {f"BENCHCAST_HOST={number}": name for number, name in scopes.items()}
        self._scope: dict[str, str | None] = {}
        self._ended = dict.fromkeys(scopes.values(), (0.0, 0.0))
        self._last: dict[str, tuple[str, float, float]] = {}

    def look(self, anew: bool) -> None:
        """Read the marks of processes not seen before (``anew``: of those without one too)."""
        pids = {name for name in os.listdir("/proc") if name.isdigit()}
        for gone in self._scope.keys() - pids:
            del self._scope[gone]
        for pid in pids:
            if pid not in self._scope or (anew and self._scope[pid] is None):
                self._scope[pid] = self._scope_of(pid)

    def sample(self) -> dict[str, dict[str, float]]:
        """Return CPU seconds so far and resident bytes by scope; ended processes still count."""
        now: dict[str, tuple[str, float, float]] = {}
        totals = {name: {"memory_used": 0.0} for name in self._numbers.values()}
        for pid, scope in self._scope.items():
            fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split() if scope else []
            if scope and len(fields) > 21:
                now[pid] = (scope, int(fields[11]) / _TICK, int(fields[12]) / _TICK)
                totals[scope]["memory_used"] += int(fields[21]) * _PAGE
        for pid in self._last.keys() - now.keys():
            scope, user, system = self._last[pid]
            before = self._ended[scope]
            self._ended[scope] = (before[0] + user, before[1] + system)
        self._last = now
        for scope, total in totals.items():
            mine = [entry for entry in now.values() if entry[0] == scope]
            total["cpu_user"] = self._ended[scope][0] + sum(entry[1] for entry in mine)
            total["cpu_system"] = self._ended[scope][1] + sum(entry[2] for entry in mine)
        return totals

    def _scope_of(self, pid: str) -> str | None:
        env = read(f"/proc/{pid}/environ").split("\0")
        if self._mark not in env:
            return None
        return next((self._numbers[entry] for entry in env if entry in self._numbers), None)


def counters(disks: set[str]) -> dict[str, float]:
    """Return the host's counters that only grow."""
    return {
        **host_cpu(read("/proc/stat")),
        **disk_bytes(read("/proc/diskstats"), disks),
        **net_bytes(read("/proc/net/dev")),
    }


def rates(now: dict[str, float], before: dict[str, float], seconds: float) -> dict[str, float]:
    """Return growth a second; memory is a level and stays as it is."""
    return {
        name: value if name == "memory_used" else round(max(0.0, value - before[name]) / seconds, 6)
        for name, value in now.items()
        if name in before or name == "memory_used"
    }


def main(arguments: list[str]) -> int:
    """Sample until SIGTERM or the parent's death."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--out", required=True)
    parser.add_argument("--mark", required=True)
    parser.add_argument("--scope", action="append", default=[])
    options = parser.parse_args(arguments)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    scopes = dict(scope.split("=", 1) for scope in options.scope)
    with contextlib.suppress(OSError), open(options.out, "w", encoding="ascii") as out:
        follow(Marked(options.mark, scopes), options.interval, ended, out.write)
    return 0


def follow(marked, interval, ended, write) -> None:  # type: ignore[no-untyped-def]
    """Write one line a sample; a late sample is taken late, not made up for."""
    parent, disks = os.getppid(), whole_disks()
    start = last = time.monotonic()
    marked.look(anew=True)
    host, scopes = counters(disks), marked.sample()
    number = 0
    over = False
    while not over and os.getppid() == parent:
        number += 1
        over = ended.wait(max(0.0, start + number * interval - time.monotonic()))
        marked.look(anew=number % RESCAN == 0)
        now, seconds = time.monotonic(), max(1e-3, time.monotonic() - last)
        host_now, scopes_now = counters(disks), marked.sample()
        level = memory_used(read("/proc/meminfo"))
        rows = [{"scope": "host", **level, **rates(host_now, host, seconds)}]
        rows += [{"scope": s, **rates(scopes_now[s], scopes[s], seconds)} for s in scopes_now]
        line = {"t": round(now - start, 4), "wall_ns": time.time_ns()}
        write(json.dumps({**line, "self_cpu": time.process_time(), "rows": rows}) + "\n")
        host, scopes, last = host_now, scopes_now, now


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
