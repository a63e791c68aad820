"""What runs on a host at the other end of an SSH connection: the standard library, and ours.

It is sent anew on each connection (``sent.py``) and never stored there. It reads one JSON request
a line (``op`` and its arguments) and answers one line: ``{"ok": ...}`` or ``{"error": text,
"errno": number or null}``, with a "remedy" where this machine refuses what was asked. Every
request can be repeated after a lost connection without doing its work twice. When the connection
ends, so does this; the processes that it started do not.

A started process has a monitor, a fork of this one in a session of its own, which waits for it
and writes ``<output>.exit`` (exit code, CPU seconds). ``<output>.pid`` holds pid and start time.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib.util
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from bench.errors import LaunchFailed
from bench.hosts import kernel
from bench.hosts.agentbuild import build, built, index, uv
from bench.hosts.agentfiles import (
    cached,
    files,
    folder,
    folders,
    forget,
    identity,
    place,
    read,
    remove,
    run,
    vacate,
    write,
)
from bench.hosts.cgroups import Cgroups, Group
from bench.hosts.kernel import text_of

OWNER = "BENCHCAST_OWNER"
KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH")
GRACE = 3.0  # seconds between SIGTERM and SIGKILL
LIMIT = 20.0  # seconds until what does not die is named
TICK = os.sysconf("SC_CLK_TCK")
GONE = (FileNotFoundError, ProcessLookupError, PermissionError)
LOST = -int(signal.SIGKILL)  # the exit code of what died together with its monitor


def facts() -> dict[str, Any]:
    """Return the machine's facts, this user's number and home, the interpreter and its engines."""
    return {
        **kernel.facts(),
        "uid": os.getuid(),
        "home": os.path.expanduser("~"),
        "python": sys.executable,
        "architecture": platform.machine(),
    }


def package(name: str) -> str | None:
    """Return the folder of an installed package without importing it."""
    spec = importlib.util.find_spec(name)
    return None if spec is None or spec.origin is None else os.path.dirname(spec.origin)


def ports(count: int) -> list[int]:
    """Return ports that were free just now."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            probe = stack.enter_context(socket.socket())
            probe.bind(("", 0))
            found.append(probe.getsockname()[1])
        return found


def ask(url: str) -> str | None:
    """Return the body of an HTTP answer, or None while there is none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            body: bytes = answer.read()
    except OSError:
        return None
    return body.decode("utf-8", "replace")


def started(pid: int) -> str | None:
    """Return when a process was started (clock ticks since boot); None for zombies and none."""
    fields = text_of(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else None


def spawn(
    argv: list[str], env: dict[str, str], cwd: str, output: str, group: list[str]
) -> list[Any]:
    """Start ``argv`` once for each ``output``, inside a control group (its folders, if any).

    Returns pid and start time, and its monitor's.
    """
    if os.path.exists(f"{output}.pid"):
        known: list[Any] = json.loads(text_of(f"{output}.pid"))
        return known
    kept = {k: v for k, v in os.environ.items() if k in KEPT or k.startswith("LC_")}
    os.makedirs(os.path.dirname(output), exist_ok=True)
    if group:
        argv = _group(group).enter(argv)
    listener, teller = os.pipe()
    middle = os.fork()
    if middle == 0:
        os.close(listener)
        try:
            if os.fork() == 0:
                monitor(argv, {**kept, **env}, cwd, output, teller)
        finally:
            os._exit(0)
    os.close(teller)
    os.waitpid(middle, 0)
    with os.fdopen(listener, "rb") as pipe:
        told: list[Any] = json.loads(pipe.read() or f"[{errno.EIO}]")
    if len(told) == 1:
        raise OSError(told[0], os.strerror(told[0]), argv[0])
    return told


def monitor(argv: list[str], env: dict[str, str], cwd: str, output: str, teller: int) -> None:
    """Start the process, tell its pid, wait for its end and write that down."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    try:
        with open(output, "wb") as file:
            process = subprocess.Popen(
                argv,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        os.write(teller, json.dumps([error.errno]).encode())
        return
    known = [process.pid, started(process.pid), os.getpid(), started(os.getpid())]
    with contextlib.suppress(OSError):
        store(f"{output}.pid", known)
    os.write(teller, json.dumps(known).encode())
    os.close(teller)
    _, status, usage = os.wait4(process.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    with contextlib.suppress(OSError):  # the folder is gone: nobody asks any more
        store(f"{output}.exit", [code, usage.ru_utime + usage.ru_stime])


def store(path: str, value: object) -> None:
    """Write a small file, whole or not at all."""
    with open(f"{path}.partial", "w", encoding="ascii") as file:
        json.dump(value, file)
    os.rename(f"{path}.partial", path)


def poll(known: list[Any], output: str) -> int | None:
    """Return the exit code of a process, None while it or its monitor lives.

    ``known`` is what ``spawn`` returned. A monitor ends after it has written the exit code; a
    process whose first thread has ended is a zombie while its other threads still work.
    """
    lives = any(
        begun is not None and started(pid) == begun
        for pid, begun in zip(known[::2], known[1::2], strict=True)
    )
    if text := text_of(f"{output}.exit"):
        code: int = json.loads(text)[0]
        return code
    return None if lives else LOST


def environment(pid: str) -> dict[str, str]:
    """Return the start environment of a process of this user; empty for others' and zombies."""
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.getuid():
            return {}
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except GONE:
        return {}
    pairs = (os.fsdecode(entry).partition("=") for entry in entries if entry)
    return {name: value for name, _, value in pairs}


def marked(marks: dict[str, str]) -> list[int]:
    """Return the processes that carry all ``marks`` in their environment."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            env = environment(entry)
            if OWNER in env and all(env.get(name) == value for name, value in marks.items()):
                found.append(int(entry))
    return sorted(found)


def owners() -> dict[str, int]:
    """Return owner -> number of processes, of all that carry any owner's mark."""
    counted: dict[str, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            owner = environment(entry).get(OWNER)
            if owner is not None:
                counted[owner] = counted.get(owner, 0) + 1
    return counted


def left(root: str) -> dict[str, Any]:
    """Return everything that carries a mark, of any owner, and what tells where it is.

    ``space`` names the processes that this user sees, ``place`` the folder ``root``; of a group
    its place and its folders. Two addresses of one machine tell the same of what they share.
    """
    boot = text_of("/proc/sys/kernel/random/boot_id").strip()
    return {
        "space": f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}/{os.getuid()}",
        "place": f"{boot}/{identity(root)}",
        "owners": owners(),
        "folders": folders(root),
        "groups": {
            name: [f"{boot}/{identity(str(group.folders[0]))}", list(map(str, group.folders))]
            for name, group in control().everywhere().items()
        },
    }


@functools.cache
def control() -> Cgroups:
    """Return the control groups that this user may make here."""
    return Cgroups()


def quotas() -> str | None:
    """Return why CPU limits cannot be held here, or None when they can (tried, once)."""
    return control().available()


def limit(name: str, cores: float | None) -> list[str]:
    """Make a control group, or change its limit (None: it only counts); return its folders.

    A later login may be in another group of its own, so that the name alone does not find it.
    """
    return list(map(str, control().create(name, cores).folders))


def change(folders: list[str], cores: float | None) -> None:
    """Change the limit of a control group."""
    try:
        _group(folders).limit(cores)
    except OSError as error:
        raise LaunchFailed(f"its control group cannot be changed: {error.strerror}") from error


def _group(folders: list[str]) -> Group:
    return Group(version=control().version, folders=tuple(map(Path, folders)))


def throttled() -> float | None:
    """Return the seconds that quotas of the groups around us took, where that is known."""
    return control().throttled_around()


def cpu(marks: dict[str, str], outputs: list[str], group: list[str]) -> float | None:
    """Return CPU seconds: a control group's, else of living marked processes and of ended ones.

    Those that have ended are known from their monitors.
    """
    if group:
        return _group(group).cpu_seconds()
    total = 0.0
    for pid in marked(marks):
        fields = text_of(f"/proc/{pid}/stat").rpartition(")")[2].split()
        total += sum(map(int, fields[11:15])) / TICK
    for output in outputs:
        if text := text_of(f"{output}.exit"):
            total += json.loads(text)[1]
    return total


def _living(marks: dict[str, str], groups: list[Group]) -> list[int]:
    """Return what carries the marks (none: nothing does) or is in the groups."""
    inside = {pid for group in groups for pid in group.pids()}
    return sorted(inside.union(marked(marks) if marks else ()))


def end(marks: dict[str, str], groups: list[list[str]]) -> list[int]:
    """End all that carry the marks or are in the groups (their folders), and remove the groups.

    Returns those that would not die within LIMIT.
    """
    named = [_group(folders) for folders in groups]
    begun = time.monotonic()
    termed: set[int] = set()
    while pids := _living(marks, named):
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


OPERATIONS = {
    one.__name__: one
    for one in (
        facts,
        package,
        ports,
        folder,
        write,
        read,
        files,
        remove,
        cached,
        forget,
        vacate,
        run,
        ask,
        spawn,
        poll,
        marked,
        place,
        built,
        uv,
        index,
        build,
        left,
        quotas,
        limit,
        change,
        throttled,
        cpu,
        end,
    )
}


def serve() -> None:
    """Answer requests until the connection ends."""
    for line in sys.stdin.buffer:
        request = json.loads(line)
        operation: Any = OPERATIONS[request.pop("op")]
        try:
            answer: dict[str, Any] = {"ok": operation(**request)}
        except OSError as error:
            answer = {"error": error.strerror or str(error), "errno": error.errno}
        except LaunchFailed as error:
            answer = {"error": error.what, "errno": None, "remedy": error.remedy}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
