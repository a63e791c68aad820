"""What runs on a host at the other end of an SSH connection: standard library only.

It is sent anew on each connection (``sent.py``), never stored there. It reads one JSON request a
line (``op`` and its arguments) and answers one line: ``{"ok": ...}`` or ``{"error": text,
"errno": number or null}``. Every request can be repeated after a lost connection without doing its
work twice. When the connection ends, so does this; the processes that it started do not.

A started process has a monitor, a fork of this one in a session of its own, which waits for it
and writes ``<output>.exit`` (exit code, CPU seconds). ``<output>.pid`` holds pid and start time.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from typing import Any

from bench.hosts import kernel
from bench.hosts.kernel import text_of

OWNER = "BENCHCAST_OWNER"
KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH")
GRACE = 3.0  # seconds between SIGTERM and SIGKILL
LIMIT = 20.0  # seconds until what does not die is named
TICK = os.sysconf("SC_CLK_TCK")
GONE = (FileNotFoundError, ProcessLookupError, PermissionError)
LOST = -int(signal.SIGKILL)  # the exit code of what died together with its monitor


def facts() -> dict[str, Any]:
    """Return the machine's facts, this user's number and home, and the interpreter."""
    home = os.path.expanduser("~")
    return {**kernel.facts(), "uid": os.getuid(), "home": home, "python": sys.executable}


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


def folder(path: str, free: int = 0) -> int:
    """Make a folder of this user alone; refuse when fewer than ``free`` bytes are left there."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    left = shutil.disk_usage(path).free
    if left < free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    return left


def write(path: str, data: str, offset: int, mode: int = 0o600) -> None:
    """Write a piece (base64) of a file at ``offset`` and cut what lies behind it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, mode)
    with os.fdopen(handle, "wb") as file:
        file.seek(offset)
        file.write(base64.b64decode(data))
        file.truncate()


def read(path: str, offset: int, size: int) -> str:
    """Return a piece of a file as base64; a negative offset counts from its end."""
    with open(path, "rb") as file:
        if offset < 0:
            file.seek(max(0, os.fstat(file.fileno()).st_size + offset))
        else:
            file.seek(offset)
        return base64.b64encode(file.read(size)).decode("ascii")


def files(path: str) -> list[str] | None:
    """Return the files below a folder, relative; None for a file; OSError when there is none."""
    if not os.path.isdir(path):
        os.stat(path)
        return None
    return sorted(
        os.path.relpath(os.path.join(top, name), path)
        for top, _, names in os.walk(path)
        for name in names
        if os.path.isfile(os.path.join(top, name))
    )


def remove(path: str) -> None:
    """Remove a folder, also while a dying process still writes into it."""
    for _ in range(20):
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.exists(path):
            return
        time.sleep(0.05)
    shutil.rmtree(path)


def vacate(path: str) -> None:
    """Remove a marked folder when no numbered folder of a host is left in it."""
    if os.path.isdir(path) and not any(name.isdigit() for name in os.listdir(path)):
        remove(path)


def run(argv: list[str], seconds: float) -> list[Any]:
    """Run a short command; return exit code and output (both streams)."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return [124, ""]
    except FileNotFoundError:
        return [127, ""]
    return [done.returncode, done.stdout.decode("utf-8", "replace")]


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


def spawn(argv: list[str], env: dict[str, str], cwd: str, output: str) -> list[Any]:
    """Start ``argv`` once for each ``output``; return pid and start time, and its monitor's."""
    if os.path.exists(f"{output}.pid"):
        known: list[Any] = json.loads(text_of(f"{output}.pid"))
        return known
    kept = {k: v for k, v in os.environ.items() if k in KEPT or k.startswith("LC_")}
    os.makedirs(os.path.dirname(output), exist_ok=True)
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


def folders(root: str) -> dict[str, str]:
    """Return marked folder -> what its owner.json says (empty where it was torn)."""
    names = sorted(os.listdir(root)) if os.path.isdir(root) else []
    return {
        name: text_of(f"{root}/{name}/owner.json")
        for name in names
        if os.path.isdir(f"{root}/{name}")
    }


def cpu(marks: dict[str, str], outputs: list[str]) -> float:
    """Return CPU seconds of living marked processes and of ended ones (from their monitors)."""
    total = 0.0
    for pid in marked(marks):
        fields = text_of(f"/proc/{pid}/stat").rpartition(")")[2].split()
        total += sum(map(int, fields[11:15])) / TICK
    for output in outputs:
        if text := text_of(f"{output}.exit"):
            total += json.loads(text)[1]
    return total


def end(marks: dict[str, str]) -> list[int]:
    """End all that carry the marks; return those that would not die within LIMIT."""
    begun = time.monotonic()
    termed: set[int] = set()
    while pids := marked(marks):
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
        vacate,
        run,
        ask,
        spawn,
        poll,
        marked,
        owners,
        folders,
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
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
