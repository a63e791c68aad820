"""An engine's Python environment on hosts, built there by uv from Benchcast's own lock.

A host gets the part of ``requirements.lock`` that the engine's workloads need, with versions and
hashes. The environment stays in the host's cache, named by that text's digest, and is built only
once. A host without uv gets this machine's.
"""

from __future__ import annotations

import functools
import hashlib
import platform
import re
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import bench
from bench.contracts import Engine
from bench.digests import digest
from bench.errors import LaunchFailed, MissingExtra, UnsuitableEnvironment
from bench.hosts.channel import AgentChannel
from bench.hosts.host import Host, writing
from bench.ids import new_id

BUILD_SECONDS = 900.0  # to build an environment, downloads included
TRY_SECONDS = 15.0  # to ask the index
ABORT_SECONDS = 25.0  # to abort builds: a login may take that long
LOCK = "requirements.lock"

_NAME = re.compile(r"^([A-Za-z0-9][\w.-]*)==\S+")
_VIA = re.compile(r"^\s+#(?: via)?\s+([A-Za-z0-9][\w.-]*)\s*$")
_UNREACHED = re.compile(
    r"dns|connect|timed? ?out|unreachable|network|failed to fetch|offline|no solution", re.I
)
_PASSWORD = re.compile(r"//[^/@\s]+@")


def lock_text() -> str:
    """Return Benchcast's lock: the installed one, else the checkout's."""
    package = Path(bench.__file__).parent
    for file in (package / f"_{LOCK}", package.parent / LOCK):
        if file.is_file():
            return file.read_text(encoding="utf-8")
    raise UnsuitableEnvironment(
        "there is no requirements.lock to build a Python environment from",
        remedy="set python = an interpreter on the host that has the engine",
    )


def pruned(lock: str, roots: Sequence[str]) -> str:
    """Return the entries of a lock that ``roots`` need, by its ``# via`` comments."""
    entries: dict[str, list[str]] = {}
    via: dict[str, set[str]] = {}
    name = ""
    for line in lock.splitlines():
        if match := _NAME.match(line):
            name = match[1]
            entries[name] = []
        if name and not line.lstrip().startswith("#"):
            entries[name].append(line)
        elif name and (match := _VIA.match(line)):
            via.setdefault(name, set()).add(match[1])
    needed = set(roots) & entries.keys()
    while added := {name for name, users in via.items() if users & needed} - needed:
        needed |= added
    return "".join(f"{line}\n" for name in sorted(needed) for line in entries[name])


@functools.cache
def requirements(engine: Engine) -> str:
    """Return the locked packages that an engine's workloads need, with hashes."""
    return pruned(lock_text(), engine.lock_roots)


def interpreter(cache: Path, engine: Engine) -> Path:
    """Return the path of the environment's interpreter; it exists once it is built."""
    return cache / f"python-{digest(requirements(engine))[:16]}" / "bin" / "python"


def install_engine(hosts: Sequence[Host], engine: Engine, at_once: int) -> dict[str, LaunchFailed]:
    """Build the environment on hosts, ``at_once`` in parallel, and set their ``python``.

    Returns the failures by host name.
    """
    first = {host.name: host for host in reversed(hosts)}  # several hosts may share a machine
    pool = ThreadPoolExecutor(max_workers=at_once)
    building = {name: pool.submit(_failure, host, engine) for name, host in first.items()}
    try:
        results = {name: future.result() for name, future in building.items()}
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        _abort([host.channel for host in first.values()], list(building.values()))
        raise
    pool.shutdown()
    for host in hosts:
        host.python = str(interpreter(host.cache, engine))
    return {name: failure for name, failure in results.items() if failure is not None}


def _abort(channels: Sequence[AgentChannel], builds: Sequence[Future[LaunchFailed | None]]) -> None:
    """Abort the builds, so that their threads end and the channels are free again."""
    end = time.monotonic() + ABORT_SECONDS
    while not all(future.done() for future in builds) and time.monotonic() < end:
        for channel in channels:  # repeatedly: a thread may be between two calls
            channel.abort()
        time.sleep(0.1)


def _failure(host: Host, engine: Engine) -> LaunchFailed | None:
    try:
        _build(host.channel, host.cache, engine)
    except LaunchFailed as error:
        return error
    return None


def why_not_installable(channel: AgentChannel, cache: Path, engine: Engine) -> str | None:
    """Return why the environment cannot be built; None if it is built or the reason is unknown."""
    environment = interpreter(cache, engine).parent.parent
    if (
        channel.call("env_is_built", path=str(environment))
        or (uv := channel.call("find_uv", cache=str(cache))) is None
    ):
        return None
    first = _NAME.match(requirements(engine))
    assert first is not None
    asked = {"uv": uv, "requirement": first[0], "seconds": TRY_SECONDS}
    try:
        text = str(channel.call("check_index", timeout=TRY_SECONDS + 15, **asked))
    except OSError as error:
        text = f"uv does not run: {error.strerror}"
    return _reason(text) if text else None


def _build(channel: AgentChannel, cache: Path, engine: Engine) -> None:
    environment = interpreter(cache, engine).parent.parent
    if channel.call("env_is_built", path=str(environment)):
        return
    uv = channel.call("find_uv", cache=str(cache)) or _send_uv(channel, cache)
    arguments = {"uv": uv, "path": str(environment), "requirements": requirements(engine)}
    try:
        text = channel.call("build", timeout=BUILD_SECONDS + 30, seconds=BUILD_SECONDS, **arguments)
    except OSError as error:
        text = str(error.strerror)
    if text:
        raise LaunchFailed(
            f"{channel.label}: no Python environment for {engine.name}: {_reason(text)}",
            remedy="set python = an interpreter on the host that has it",
        )


def _send_uv(channel: AgentChannel, cache: Path) -> str:
    """Send this machine's uv to the host; its name there contains its digest."""
    architecture = channel.greeting["architecture"]
    uv = _own_uv()
    if uv is None:
        raise MissingExtra("uv", "ssh")
    if architecture != platform.machine():
        raise LaunchFailed(
            f"{channel.label} has no uv, and this machine's does not run on {architecture}",
            remedy="install uv there, or set python = an interpreter that has the engine",
        )
    with uv.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    arriving = f"{cache / 'uv'}-{new_id()}"
    with writing(channel, "uv"):
        channel.send(uv, arriving)
        return str(channel.call("find_uv", cache=str(cache), fresh=arriving, digest=sha256))


def _own_uv() -> Path | None:
    try:
        import uv
    except ImportError:
        path = shutil.which("uv")
        return None if path is None else Path(path)
    return Path(uv.find_uv_bin())


def _reason(text: str) -> str:
    """Return the end of uv's output on one line, without an index's password."""
    lines = [line.strip(" ×├─▶╰│") for line in text.splitlines() if line.strip()]
    why = _PASSWORD.sub("//", " ".join(lines)[-300:])
    return f"the package index cannot be reached: {why}" if _UNREACHED.search(why) else why
