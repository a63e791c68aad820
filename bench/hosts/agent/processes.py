"""The agent's requests about processes: start, follow, find by label, end.

A started process has a monitor, a fork of the agent in a session of its own, which waits for it
and writes ``<output>.exit`` (exit code, CPU seconds). ``<output>.pid`` holds pid and start time.
Labels are environment variables. A child inherits them, also into process groups and sessions of
its own: a label finds processes that a process group misses (PySpark's daemon leaves its group).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.errors import LaunchFailed
from bench.hosts.agent.cgroups import Group, control
from bench.hosts.agent.machine import text_of

OWNER = "BENCHCAST_OWNER"  # study/session/cluster
HOST = "BENCHCAST_HOST"  # the host's number within its cluster
PROCESS = "BENCHCAST_PROCESS"  # one spawned process and its children
BESIDE = "BENCHCAST_BESIDE"  # like HOST, for processes beside the host's work
INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH")
GRACE = 3.0  # seconds between SIGTERM and SIGKILL
LIMIT = 20.0  # seconds until a process that does not end is reported
TICK = os.sysconf("SC_CLK_TCK")
GONE = (FileNotFoundError, ProcessLookupError, PermissionError)
LOST = -int(signal.SIGKILL)  # the exit code of a process that died with its monitor


def started(pid: int) -> str | None:
    """Return a process's start (clock ticks since boot); None if it is a zombie or gone."""
    fields = _stat(pid)
    return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else None


def _stat(pid: int | str) -> list[str]:
    """Return the fields of /proc/PID/stat from the state (field 3) on: proc(5)."""
    return text_of(f"/proc/{pid}/stat").rpartition(")")[2].split()


def spawn(
    argv: list[str], env: dict[str, str], cwd: str, output: str, group: list[str]
) -> list[Any]:
    """Start ``argv`` inside a control group (its folders, if any), once for each ``output``.

    Returns its pid and start time, and those of its monitor.
    """
    if os.path.exists(f"{output}.pid"):
        process: list[Any] = json.loads(text_of(f"{output}.pid"))
        return process
    inherited = {k: v for k, v in os.environ.items() if k in INHERITED or k.startswith("LC_")}
    os.makedirs(os.path.dirname(output), exist_ok=True)
    if group:
        argv = _group(group).enter(argv)
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        try:
            _monitor(argv, {**inherited, **env}, cwd, output, writer)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer: list[Any] = json.loads(pipe.read() or f"[{errno.EIO}]")
    if len(answer) == 1:
        raise OSError(answer[0], os.strerror(answer[0]), argv[0])
    return answer


def reap() -> None:
    """Collect ended monitors: init may not do it (in containers)."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _monitor(argv: list[str], env: dict[str, str], cwd: str, output: str, writer: int) -> None:
    """Start the process, report its pid, wait for its end and write its exit code."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    try:
        with open(output, "wb") as file:
            child = subprocess.Popen(
                argv,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        os.write(writer, json.dumps([error.errno]).encode())
        return
    process = [child.pid, started(child.pid), os.getpid(), started(os.getpid())]
    with contextlib.suppress(OSError):
        _store(f"{output}.pid", process)
    os.write(writer, json.dumps(process).encode())
    os.close(writer)
    _, status, usage = os.wait4(child.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    with contextlib.suppress(OSError):  # the folder is gone, so nobody will ask
        _store(f"{output}.exit", [code, usage.ru_utime + usage.ru_stime])


def _store(path: str, value: object) -> None:
    """Write a small file atomically."""
    with open(f"{path}.partial", "w", encoding="ascii") as file:
        json.dump(value, file)
    os.rename(f"{path}.partial", path)


def poll(process: list[Any], output: str) -> int | None:
    """Return the exit code of a process, None while it or its monitor lives.

    ``process`` is the answer of ``spawn``. A monitor ends after it has written the exit code; a
    process whose first thread has ended is a zombie while its other threads still work.
    """
    lives = any(
        begun is not None and started(pid) == begun
        for pid, begun in zip(process[::2], process[1::2], strict=True)
    )
    if text := text_of(f"{output}.exit"):
        code: int = json.loads(text)[0]
        return code
    return None if lives else LOST


def environment(pid: int) -> dict[str, str]:
    """Return a process's start environment; empty for other users' processes and zombies."""
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.getuid():
            return {}
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except GONE:
        return {}
    pairs = (os.fsdecode(entry).partition("=") for entry in entries if entry)
    return {name: value for name, _, value in pairs}


def scan(labels: Mapping[str, str] | None = None) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (pid, environment) of living processes with ``labels`` (default: any owner's)."""
    for entry in sorted(filter(str.isdigit, os.listdir("/proc")), key=int):
        if int(entry) == os.getpid():
            continue
        env = environment(int(entry))
        if OWNER in env and all(env.get(name) == value for name, value in (labels or {}).items()):
            yield int(entry), env


def labelled(labels: dict[str, str]) -> list[int]:
    """Return the processes that carry all ``labels`` in their environment."""
    return [pid for pid, _ in scan(labels)]


def owners() -> dict[str, int]:
    """Return owner -> number of processes, over all processes with an owner's label."""
    counted: dict[str, int] = {}
    for _, env in scan():
        counted[env[OWNER]] = counted.get(env[OWNER], 0) + 1
    return counted


def cpu(labels: dict[str, str], outputs: list[str], group: list[str]) -> float | None:
    """Return CPU seconds: the control group's, else those of living and ended processes.

    Monitors report the CPU time of ended processes.
    """
    if group:
        return _group(group).cpu_seconds()
    total = 0.0
    for pid in labelled(labels):
        total += sum(map(int, _stat(pid)[11:15])) / TICK
    for output in outputs:
        if text := text_of(f"{output}.exit"):
            total += json.loads(text)[1]
    return total


def end(
    labels: dict[str, str], groups: list[list[str]], process: list[Any] | None = None
) -> list[int]:
    """End processes with the labels (if any) or in the groups, and remove the groups.

    A group is the list of its folders. ``process``, the answer of ``spawn``, adds the processes
    of that session, whatever their environment. Sends SIGTERM and, after GRACE seconds, SIGKILL.
    Returns the processes that did not end within LIMIT.
    """
    named = [_group(folders) for folders in groups]
    session = _session(process) if process else {}
    begun = time.monotonic()
    termed: set[int] = set()
    while pids := _living(labels, named, session):
        spent = time.monotonic() - begun
        if spent > LIMIT:
            return pids
        for pid in pids:
            if spent >= GRACE or pid not in termed:
                number = signal.SIGKILL if spent >= GRACE else signal.SIGTERM
                with contextlib.suppress(*GONE):
                    os.kill(pid, number)
        termed.update(pids)
        time.sleep(0.03)
    for group in named:
        control().remove(group)
    return []


def _session(process: list[Any]) -> dict[int, str]:
    """Return pid -> start of the processes in a spawned process's session, if it lives."""
    leader, begun = process[:2]
    if begun is None or started(leader) != begun:
        return {}  # another process may have its number now
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    inside = [pid for pid in pids if _stat(pid)[3:4] == [str(leader)]]
    return {pid: start for pid in inside if (start := started(pid)) is not None}


def _living(labels: dict[str, str], groups: list[Group], session: dict[int, str]) -> list[int]:
    inside = {pid for group in groups for pid in group.pids()}
    inside |= {pid for pid, start in session.items() if started(pid) == start}
    return sorted(inside.union(labelled(labels) if labels else ()))


def quotas() -> str | None:
    """Return why this machine cannot enforce CPU limits, or None if it can (tried once)."""
    return control().available()


def limit(name: str, cores: float | None) -> list[str]:
    """Make a control group or change its limit (None: it only counts); return its folders.

    The name alone is not enough: a later login may start in another group.
    """
    return list(map(str, control().create(name, cores).folders))


def set_cpu_limit(folders: list[str], cores: float | None) -> None:
    """Change the limit of a control group."""
    try:
        _group(folders).limit(cores)
    except OSError as error:
        raise LaunchFailed(f"its control group cannot be changed: {error.strerror}") from error


def throttled() -> float | None:
    """Return the seconds that quotas of the enclosing groups withheld, if known."""
    return control().throttled_by_enclosing()


def _group(folders: list[str]) -> Group:
    return Group(version=control().version, folders=tuple(map(Path, folders)))
