"""The agent: answers requests about one host while its channel is open.

Every new channel sends it (``program.py``); no host stores it. It reads one JSON request a line
(``op`` and its arguments) and answers one line: ``{"ok": ...}`` or ``{"error": text, "errno":
number or null}``, with a "remedy" if this machine refuses the request. The harness may repeat any
request after a lost channel: the work is not done twice. The agent ends with its channel; the
processes that it started keep running.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import platform
import socket
import sys
import urllib.request
from typing import Any

from bench.errors import LaunchFailed
from bench.hosts.agent import files, machine, processes, python_env
from bench.hosts.agent.cgroups import control
from bench.hosts.agent.machine import text_of

GPU_FILES = ("/dev/nvidiactl", "/dev/dxg")  # of the driver; one of them exists if there is a GPU


def facts() -> dict[str, Any]:
    """Return the machine's facts, this user's number and home, and the interpreter."""
    boot = text_of("/proc/sys/kernel/random/boot_id").strip()
    return {
        **machine.facts(),
        "uid": os.getuid(),
        "pid": os.getpid(),
        "home": os.path.expanduser("~"),
        "network": f"{boot}/{os.stat('/proc/self/ns/net').st_ino}",
        "python": sys.executable,
        "architecture": platform.machine(),
        "gpu_driver": any(map(os.path.exists, GPU_FILES)),
    }


def package(name: str) -> str | None:
    """Return the folder of an installed package without importing it."""
    spec = importlib.util.find_spec(name)
    return None if spec is None or spec.origin is None else os.path.dirname(spec.origin)


def ports(count: int, taken: list[int]) -> list[int]:
    """Return ports that were free just now and are not among those ``taken``."""
    with contextlib.ExitStack() as stack:
        free: list[int] = []
        while len(free) < count:
            probe = stack.enter_context(socket.socket())
            probe.bind(("", 0))
            port = probe.getsockname()[1]
            if port not in taken:
                free.append(port)
        return free


def http_get(url: str) -> str | None:
    """Return the body of an HTTP answer, or None while there is none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            body: bytes = answer.read()
    except OSError:
        return None
    return body.decode("utf-8", "replace")


def owned(root: str) -> dict[str, Any]:
    """Return everything that carries an owner's tag, and identities of where it is.

    ``space`` identifies the processes that this user sees, ``folder`` the folder ``root``; each
    group comes with its identity and its folders. Two addresses of one machine report the same
    identities.
    """
    boot = text_of("/proc/sys/kernel/random/boot_id").strip()
    return {
        "space": f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}/{os.getuid()}",
        "folder": f"{boot}/{files.identity(root)}",
        "owners": processes.owners(),
        "folders": files.folders(root),
        "groups": {
            name: [f"{boot}/{files.identity(str(group.folders[0]))}", list(map(str, group.folders))]
            for name, group in control().everywhere().items()
        },
    }


OPERATIONS = {
    operation.__name__: operation
    for operation in (
        facts,
        package,
        ports,
        http_get,
        owned,
        files.create,
        files.folder,
        files.free,
        files.files,
        files.remove,
        files.remove_if_empty,
        files.cached,
        files.clear_cache,
        files.copy_from_cache,
        files.run,
        processes.spawn,
        processes.poll,
        processes.labelled,
        processes.cpu,
        processes.end,
        processes.quotas,
        processes.limit,
        processes.set_cpu_limit,
        processes.throttled,
        python_env.env_is_built,
        python_env.find_uv,
        python_env.check_index,
        python_env.build,
    )
}


def serve() -> None:
    """Answer requests until the channel ends."""
    for line in sys.stdin.buffer:
        processes.reap()
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
