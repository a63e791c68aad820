"""Sample a host's load and that of labelled processes, as JSON lines: standard library only.

It is one file, so that a host can run it alone:

    python sampler.py --interval 1 --out FILE --owner STUDY/SESSION/CLUSTER --scope 0=driver

Each sample is one line: ``t`` (seconds since the start, monotonic), ``wall_ns``, ``self_cpu`` (the
sampler's own CPU seconds so far) and ``rows``: one for the scope "host" and one for each
``--scope NUMBER=NAME``, the processes with the labels BENCHCAST_HOST=NUMBER and the owner. The
first line, at the start, has levels only; a rate covers the time since the line before, and the
last line is written at the end, so that a run shorter than the interval is sampled too. CPU
figures are in cores' worth, memory in bytes, disk and network in bytes a second, clocks in Hz.
``cpu_others`` is the CPU that neither the owner's processes nor the harness used: co-tenants.
``throttled`` is CPU time that quotas withheld (cores' worth), ``throttled_periods`` how many of
their periods a second. It ends on SIGTERM or when its parent or --until dies. A figure that
cannot be read is absent.
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

RESCAN = 10.0  # seconds after which all processes' labels and control groups are read again
LOOK = 1.0  # seconds, at most, between two looks at processes, so as not to miss short ones
SECTOR = 512  # bytes, whatever the disk's own
MOST_CLOCKS = 16  # read the clocks of at most so many cores, spread evenly
LEVELS = ("memory_used", "running", "load", "clock", "clock_low")  # the others only grow
MOUNTS = ((2, ""), (2, "unified"), (1, "cpu"), (1, "cpu,cpuacct"))  # of the cpu controller
_OWN = ""  # the scope of the harness and of labelled processes without a number
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def read(path: str) -> str:
    """Return a file's text, or nothing when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def names(folder: str) -> list[str]:
    """Return the names in a folder, or none when it cannot be read."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def number(text: str) -> float | None:
    """Return a number, or None for other text."""
    try:
        return float(text)
    except ValueError:
        return None


def host_cpu(text: str) -> dict[str, float]:
    """Return CPU seconds of all cores by kind from /proc/stat (guest time is within user)."""
    for line in text.splitlines():
        ticks = [int(field) for field in line.split()[1:9] if field.isdigit()]
        if line.startswith("cpu ") and len(ticks) == 8:
            user, nice, system, idle, wait, irq, soft, steal = ticks
            kinds = {"user": user + nice, "system": system + irq + soft}
            kinds |= {"iowait": wait, "steal": steal, "idle": idle}
            return {f"cpu_{kind}": count / _TICK for kind, count in kinds.items()}
    return {}


def running(stat: str, load: str) -> dict[str, float]:
    """Return runnable threads from /proc/stat, and the load over a minute from /proc/loadavg."""
    counts = [line.split()[1] for line in stat.splitlines() if line.startswith("procs_running ")]
    values = {"running": number("".join(counts)), "load": number(load.partition(" ")[0])}
    return {name: value for name, value in values.items() if value is not None}


def disk_bytes(text: str, whole: set[str]) -> dict[str, float]:
    """Return bytes read and written of whole disks from /proc/diskstats."""
    lines = [line.split() for line in text.splitlines()]
    disks = [fields for fields in lines if len(fields) > 9 and fields[2] in whole]
    if not disks:
        return {}
    return {
        "disk_read": float(sum(int(fields[5]) for fields in disks) * SECTOR),
        "disk_write": float(sum(int(fields[9]) for fields in disks) * SECTOR),
    }


def net_bytes(text: str) -> dict[str, float]:
    """Return bytes received and sent over all interfaces from /proc/net/dev (loopback too)."""
    lines = [line.partition(":")[2].split() for line in text.splitlines() if ":" in line]
    if not lines:
        return {}
    return {
        "net_rx": float(sum(int(fields[0]) for fields in lines)),
        "net_tx": float(sum(int(fields[8]) for fields in lines)),
    }


def memory_used(text: str) -> dict[str, float]:
    """Return total minus available memory from /proc/meminfo, in bytes."""
    lines = [line.split() for line in text.splitlines()]
    sizes = {fields[0]: number(fields[1]) for fields in lines if len(fields) > 1}
    total, available = sizes.get("MemTotal:"), sizes.get("MemAvailable:")
    return {} if total is None or available is None else {"memory_used": (total - available) * 1024}


def whole_disks() -> set[str]:
    """Return physical disks: no loops, memory disks, device mapper or RAID on top of others."""
    virtual = ("loop", "ram", "zram", "dm-", "md")
    return {name for name in names("/sys/block") if not name.startswith(virtual)}


def clock_files(folder: str = "/sys/devices/system/cpu") -> list[str]:
    """Return the files of cores' clocks; a virtual machine mostly has none."""
    paths = [f"{folder}/{name}/cpufreq/scaling_cur_freq" for name in sorted(names(folder))]
    files = [path for path in paths if os.path.exists(path)]
    return files[:: -(-len(files) // MOST_CLOCKS) or 1]


def clocks(files: list[str]) -> dict[str, float]:
    """Return the mean and the lowest of the cores' clocks now, in Hz (the files say kHz)."""
    hertz = [value * 1000 for file in files if (value := number(read(file))) is not None]
    return {"clock": sum(hertz) / len(hertz), "clock_low": min(hertz)} if hertz else {}


def group_stats(text: str, root: str = "/sys/fs/cgroup") -> list[str]:
    """Return cpu.stat of a process's control group and of enclosing ones (/proc/PID/cgroup).

    If the kernel's path is outside a container's own mount, the mount itself counts.
    """
    paths = {}
    for line in text.splitlines():
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if not controllers or "cpu" in controllers.split(","):
            paths[1 if controllers else 2] = [part for part in path.split("/") if part]
    stats: dict[str, str] = {}
    for version, mount in MOUNTS:
        parts = paths.get(version, [])
        for depth in range(len(parts) if version in paths else -1, -1, -1):
            stat = os.path.join(root, mount, *parts[:depth], "cpu.stat")
            if "nr_throttled" in read(stat):
                stats.setdefault(os.path.realpath(stat), stat)  # "cpu" is often a link
    return list(stats.values())


def throttling(stat: str) -> tuple[float, float] | None:
    """Return CPU seconds that a quota withheld so far, and the periods in which it did.

    Version 1 counts nanoseconds (``throttled_time``), version 2 microseconds.
    """
    lines = [line.split() for line in read(stat).splitlines()]
    values = {fields[0]: number(fields[1]) for fields in lines if len(fields) == 2}
    periods, micros = values.get("nr_throttled"), values.get("throttled_usec")
    nanos = values.get("throttled_time")
    if periods is None or (micros is None and nanos is None):
        return None
    return (micros / 1e6 if micros is not None else (nanos or 0.0) / 1e9), periods


class Quotas:
    """The control groups of one scope's processes, and the CPU time that they withheld."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._first: dict[str, tuple[float, float]] = {}
        self._last: dict[str, tuple[float, float]] = {}

    def add(self, text: str) -> None:
        """Follow the groups that /proc/PID/cgroup names, from their present counters on."""
        if text in self._seen:
            return
        self._seen.add(text)
        for stat in group_stats(text):
            if stat not in self._first and (now := throttling(stat)) is not None:
                self._first[stat] = self._last[stat] = now

    def sample(self) -> dict[str, float]:
        """Return seconds and periods so far, ended groups included; empty if unknown."""
        self._last |= {stat: now for stat in self._first if (now := throttling(stat)) is not None}
        pairs = [(self._last[stat], first) for stat, first in self._first.items()]
        sums = [sum(now[i] - first[i] for now, first in pairs) for i in (0, 1)]
        return dict(zip(("throttled", "throttled_periods"), sums, strict=True)) if pairs else {}


class Labelled:
    """The processes with the owner's label, by scope; read pids are cached."""

    def __init__(self, owner: str, scopes: dict[str, str], harness: tuple[int, ...] = ()) -> None:
        """Follow the processes of ``owner``; ``scopes`` maps a host number to its name.

        The processes ``harness`` count as the owner's, though they carry no label.
        """
        self._owner = f"BENCHCAST_OWNER={owner}"
        self._numbers = {f"BENCHCAST_HOST={number}": name for number, name in scopes.items()}
        self._scope: dict[str, str | None] = {str(pid): _OWN for pid in harness}
        self._ended = dict.fromkeys((*scopes.values(), _OWN), (0.0, 0.0))
        self._last: dict[str, tuple[str, float, float]] = {}
        self._blind = True
        self._quotas = {name: Quotas() for name in scopes.values()}

    def look(self, rescan: bool) -> None:
        """Read the labels of new processes (``rescan``: of all without one)."""
        pids = {name for name in names("/proc") if name.isdigit()}
        self._blind = not pids
        for gone in self._scope.keys() - pids:
            del self._scope[gone]
        for pid in pids:
            fresh = pid not in self._scope
            if fresh or (rescan and self._scope[pid] is None):
                self._scope[pid] = self._scope_of(pid)
            scope = self._scope[pid]
            if scope and (fresh or rescan):  # a process may join its group after its start
                self._quotas[scope].add(read(f"/proc/{pid}/cgroup"))

    def sample(self) -> dict[str, dict[str, float]]:
        """Return CPU seconds so far, resident bytes and throttling, by scope.

        Ended processes still count. The harness's own scope is the empty name. Scopes are empty
        where processes cannot be listed at all.
        """
        if self._blind:
            return {name: {} for name in self._ended}
        now: dict[str, tuple[str, float, float]] = {}
        totals = {name: {"memory_used": 0.0} for name in self._ended}
        for pid, scope in self._scope.items():
            stat = "" if scope is None else read(f"/proc/{pid}/stat")
            fields = stat.rpartition(")")[2].split()
            if scope is not None and len(fields) > 21:
                now[pid] = (scope, int(fields[11]) / _TICK, int(fields[12]) / _TICK)
                totals[scope]["memory_used"] += int(fields[21]) * _PAGE
        for pid in self._last.keys() - now.keys():
            scope, user, system = self._last[pid]
            before = self._ended[scope]
            self._ended[scope] = (before[0] + user, before[1] + system)
        self._last = now
        for scope, total in totals.items():
            entries = [entry for entry in now.values() if entry[0] == scope]
            total["cpu_user"] = self._ended[scope][0] + sum(entry[1] for entry in entries)
            total["cpu_system"] = self._ended[scope][1] + sum(entry[2] for entry in entries)
            if scope in self._quotas:
                total.update(self._quotas[scope].sample())
        return totals

    def _scope_of(self, pid: str) -> str | None:
        env = read(f"/proc/{pid}/environ").split("\0")
        if self._owner not in env:
            return None
        return next((self._numbers[entry] for entry in env if entry in self._numbers), _OWN)


def counters(disks: set[str], stat: str) -> dict[str, float]:
    """Return the host's counters that only grow; ``stat`` is /proc/stat's text."""
    return {
        **host_cpu(stat),
        **disk_bytes(read("/proc/diskstats"), disks),
        **net_bytes(read("/proc/net/dev")),
    }


def rates(now: dict[str, float], before: dict[str, float], seconds: float) -> dict[str, float]:
    """Return growth a second; levels stay as they are."""
    return {
        name: value if name in LEVELS else round(max(0.0, value - before[name]) / seconds, 6)
        for name, value in now.items()
        if name in before or name in LEVELS
    }


def others(host: dict[str, float], scopes: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return the CPU (cores' worth) that other processes of the host used.

    An own process that lives only between two looks counts as other. The kernel's counters tick
    every 10 ms, so ten samples a second are uncertain by a tenth of a core or two each.
    """
    kinds = ("cpu_user", "cpu_system")
    if any(kind not in row for row in (host, *scopes.values()) for kind in kinds):
        return {}
    own = sum(row[kind] for row in scopes.values() for kind in kinds)
    return {"cpu_others": round(max(0.0, sum(host[kind] for kind in kinds) - own), 6)}


def main(arguments: list[str]) -> int:
    """Sample until SIGTERM or the parent's death."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--out", required=True)
    parser.add_argument("--owner", required=True)
    parser.add_argument("--own", type=int, action="append", default=[])
    parser.add_argument("--until", type=int)
    parser.add_argument("--scope", action="append", default=[])
    options = parser.parse_args(arguments)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    scopes = dict(scope.split("=", 1) for scope in options.scope)
    processes = Labelled(options.owner, scopes, (os.getppid(), *options.own))
    with contextlib.suppress(OSError), open(options.out, "w", 1, "ascii") as out:
        follow(processes, options.interval, ended, out.write, options.until)
    return 0


def due(start: float, now: float, interval: float) -> float:
    """Return the first time of the grid ``start + n * interval`` after ``now``.

    A late sample is not made up for.
    """
    return start + ((now - start) // interval + 1) * interval


def alone(parent: int, harness: int | None) -> bool:
    """Return whether the parent or, if it is another process, the harness has died."""
    return os.getppid() != parent or (
        harness is not None and not os.path.exists(f"/proc/{harness}")
    )


def pause(processes, ended, until, over) -> bool:  # type: ignore[no-untyped-def]
    """Wait until a time (monotonic); return whether sampling is over."""
    while (left := until - time.monotonic()) > 0:
        if ended.wait(min(LOOK, left)) or over():
            return True
        if left > LOOK:
            processes.look(rescan=False)
            processes.sample()
    return bool(ended.is_set() or over())


def levels(cores: list[str], stat: str) -> dict[str, float]:
    """Return the host's present levels."""
    values = {**memory_used(read("/proc/meminfo")), **running(stat, read("/proc/loadavg"))}
    return {**values, **clocks(cores)}


def line(start, now, host, scopes) -> str:  # type: ignore[no-untyped-def]
    """Return one sample as a line, without the harness's own scope."""
    rows = [{"scope": "host", **host}]
    rows += [{"scope": name, **scopes[name]} for name in scopes if name != _OWN]
    head = {"t": round(now - start, 4), "wall_ns": time.time_ns()}
    return json.dumps({**head, "self_cpu": time.process_time(), "rows": rows}) + "\n"


def follow(  # type: ignore[no-untyped-def]
    processes, interval, ended, write, harness: int | None = None
) -> None:
    """Write one line now, one every ``interval`` seconds, and one at the end."""
    parent, disks, cores = os.getppid(), whole_disks(), clock_files()
    start = last = looked = time.monotonic()
    processes.look(rescan=True)
    stat = read("/proc/stat")
    host, scopes = counters(disks, stat), processes.sample()
    only = {name: rates(scopes[name], {}, 1.0) for name in scopes}  # levels: nothing has grown yet
    write(line(start, start, levels(cores, stat), only))
    over = False
    while not over:
        over = pause(processes, ended, due(start, last, interval), lambda: alone(parent, harness))
        rescan = time.monotonic() - looked >= RESCAN
        looked = time.monotonic() if rescan else looked
        processes.look(rescan=rescan)
        now, seconds = time.monotonic(), max(1e-3, time.monotonic() - last)
        stat = read("/proc/stat")
        host_now, scopes_now = counters(disks, stat), processes.sample()
        grown = {name: rates(scopes_now[name], scopes[name], seconds) for name in scopes_now}
        row = {**rates(host_now, host, seconds), **levels(cores, stat)}
        write(line(start, now, {**row, **others(row, grown)}, grown))
        host, scopes, last = host_now, scopes_now, now


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
