"""An engine's Python environment on hosts, built there by uv from Benchcast's own lock.

Of ``requirements.lock`` goes to a host what the engine's workloads need, with versions and hashes.
The environment lies in the host's cache under that text's digest: it is built once, by one, and
stays. A host that has no uv gets this machine's.
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

BUILD_SECONDS = 900.0  # until an environment must be built, downloads included
TRY_SECONDS = 15.0  # of asking the index
ABORT_SECONDS = 25.0  # until what was begun must have been given up: a login may take as long
LOCK = "requirements.lock"

_NAME = re.compile(r"^([A-Za-z0-9][\w.-]*)==\S+")
_VIA = re.compile(r"^\s+#(?: via)?\s+([A-Za-z0-9][\w.-]*)\s*$")
_UNREACHED = re.compile(
    r"dns|connect|timed? ?out|unreachable|network|failed to fetch|offline|no solution", re.I
)
_PASSWORD = re.compile(r"//[^/@\s]+@")


def lock_text() -> str:
    """Return Benchcast's lock: as it was installed, else the checkout's."""
    package = Path(bench.__file__).parent
    for place in (package / f"_{LOCK}", package.parent / LOCK):
        if place.is_file():
            return place.read_text(encoding="utf-8")
    raise UnsuitableEnvironment(
        "there is no requirements.lock to build a Python environment from",
        remedy="set python = an interpreter over there that has the engine",
    )


def pruned(lock: str, roots: Sequence[str]) -> str:
    """Return the entries of a lock that ``roots`` need: its own notes say what is via what."""
    entries: dict[str, list[str]] = {}
    via: dict[str, set[str]] = {}
    name = ""
    for line in lock.splitlines():
        if found := _NAME.match(line):
            name = found[1]
            entries[name] = []
        if name and not line.lstrip().startswith("#"):
            entries[name].append(line)
        elif name and (found := _VIA.match(line)):
            via.setdefault(name, set()).add(found[1])
    kept = set(roots) & entries.keys()
    while more := {one for one, by in via.items() if by & kept} - kept:
        kept |= more
    return "".join(f"{line}\n" for one in sorted(kept) for line in entries[one])


@functools.cache
def requirements(engine: Engine) -> str:
    """Return what an engine's workloads need, with versions and hashes."""
    return pruned(lock_text(), engine.lock_roots)


def interpreter(cache: Path, engine: Engine) -> Path:
    """Return where the environment's interpreter is, once it is built."""
    return cache / f"python-{digest(requirements(engine))[:16]}" / "bin" / "python"


def install_engine(hosts: Sequence[Host], engine: Engine, at_once: int) -> dict[str, LaunchFailed]:
    """Build the environment on hosts, ``at_once`` in parallel, and let them use it.

    Returns why not, by host, where it cannot be built.
    """
    first = {host.name: host for host in reversed(hosts)}  # two may be on one machine
    pool = ThreadPoolExecutor(max_workers=at_once)
    building = {name: pool.submit(_failure, host, engine) for name, host in first.items()}
    try:
        results = {name: future.result() for name, future in building.items()}
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        _give_up([host.channel for host in first.values()], list(building.values()))
        raise
    pool.shutdown()
    for host in hosts:
        host.python = str(interpreter(host.cache, engine))
    return {name: failure for name, failure in results.items() if failure is not None}


def _give_up(
    channels: Sequence[AgentChannel], begun: Sequence[Future[LaunchFailed | None]]
) -> None:
    """End the waiting for hosts; the channels can be used again when their threads have ended."""
    end = time.monotonic() + ABORT_SECONDS
    while not all(one.done() for one in begun) and time.monotonic() < end:
        for channel in channels:  # again and again: a thread may be between two of its calls
            channel.abort()
        time.sleep(0.1)


def _failure(host: Host, engine: Engine) -> LaunchFailed | None:
    try:
        _build(host.channel, host.cache, engine)
    except LaunchFailed as error:
        return error
    return None


def lacking(channel: AgentChannel, cache: Path, engine: Engine) -> str | None:
    """Return why the environment cannot be built; None where it is built, or nothing is known."""
    there = interpreter(cache, engine).parent.parent
    if (
        channel.call("env_is_built", path=str(there))
        or (uv := channel.call("uv", cache=str(cache))) is None
    ):
        return None
    first = _NAME.match(requirements(engine))
    assert first is not None
    asked = {"uv": uv, "requirement": first[0], "seconds": TRY_SECONDS}
    try:
        text = str(channel.call("index", timeout=TRY_SECONDS + 15, **asked))
    except OSError as error:
        text = f"uv does not run: {error.strerror}"
    return _reason(text) if text else None


def _build(channel: AgentChannel, cache: Path, engine: Engine) -> None:
    there = interpreter(cache, engine).parent.parent
    if channel.call("env_is_built", path=str(there)):
        return
    uv = channel.call("uv", cache=str(cache)) or _send_uv(channel, cache)
    argued = {"uv": uv, "path": str(there), "requirements": requirements(engine)}
    try:
        text = channel.call("build", timeout=BUILD_SECONDS + 30, seconds=BUILD_SECONDS, **argued)
    except OSError as error:
        text = str(error.strerror)
    if text:
        raise LaunchFailed(
            f"{channel.label}: no Python environment for {engine.name}: {_reason(text)}",
            remedy="set python = an interpreter over there that has it",
        )


def _send_uv(channel: AgentChannel, cache: Path) -> str:
    """Bring this machine's uv; its name over there has its digest."""
    architecture = channel.greeting["architecture"]
    uv = _own_uv()
    if uv is None:
        raise MissingExtra("uv", "ssh")
    if architecture != platform.machine():
        raise LaunchFailed(
            f"{channel.label} has no uv, and this machine's is not for {architecture}",
            remedy="install uv there, or set python = an interpreter that has the engine",
        )
    with uv.open("rb") as file:
        known = hashlib.file_digest(file, "sha256").hexdigest()
    arriving = f"{cache / 'uv'}-{new_id()}"
    with writing(channel, "uv"):
        channel.send(uv, arriving)
        return str(channel.call("uv", cache=str(cache), fresh=arriving, digest=known))


def _own_uv() -> Path | None:
    try:
        import uv
    except ImportError:
        found = shutil.which("uv")
        return None if found is None else Path(found)
    return Path(uv.find_uv_bin())


def _reason(text: str) -> str:
    """Return uv's last words on one line; an index's password is left out."""
    lines = [line.strip(" ×├─▶╰│") for line in text.splitlines() if line.strip()]
    why = _PASSWORD.sub("//", " ".join(lines)[-300:])
    return f"the package index cannot be reached: {why}" if _UNREACHED.search(why) else why
