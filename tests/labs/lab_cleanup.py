"""What a lab leaves in the kernel and on disk, by its name, and how it is removed.

All of a lab's things carry its name: ``bl`` and six hexadecimal digits. A lab lives while its
lock is held; ``sweep`` touches dead labs only.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from bench.locks import delete_lock, file_lock, try_acquire

PREFIX = "bl"
NAME = re.compile(rf"{PREFIX}[0-9a-f]{{6}}")
# Fixed at import: tests give the code under test temporary folders of its own.
ROOT = Path(tempfile.gettempdir()) / f"benchcast-lab-{os.getuid()}"
CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuacct", "memory")
_children: list[subprocess.Popen[bytes]] = []


def ip(*argv: str) -> str:
    """Run iproute2's ``ip``; raises RuntimeError with what it said."""
    done = subprocess.run(["ip", *argv], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


def adopt(process: subprocess.Popen[bytes]) -> None:
    """Keep a child, so that it is waited for when its lab is removed."""
    _children.append(process)


@dataclass(frozen=True, kw_only=True)
class LabTag:
    """One lab's name, subnet (its first three numbers), folder and lock."""

    name: str
    subnet: str
    folder: Path
    lock: FileLock

    @staticmethod
    def new() -> LabTag:
        """Take a name and a subnet that no other lab has."""
        ROOT.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            tag = LabTag.of(f"{PREFIX}{secrets.token_hex(3)}")
            if tag.name in names() or f" {tag.subnet}." in ip("-4", "-o", "addr"):
                continue
            tag.lock.acquire()
            tag.folder.mkdir(mode=0o700)
            return tag

    @staticmethod
    def of(name: str) -> LabTag:
        """Return a lab that another process holds."""
        bits = bytes.fromhex(name.removeprefix(PREFIX))
        subnet = f"10.{200 + bits[0] % 50}.{bits[1]}"
        lock = file_lock(ROOT / f"{name}.lock")
        return LabTag(name=name, subnet=subnet, folder=ROOT / name, lock=lock)

    def remove(self) -> None:
        """Remove all that carries the name."""
        remove(self.name)
        delete_lock(self.lock)


def names() -> set[str]:
    """Return the labs of which anything is left, dead or alive."""
    places = [ROOT, Path("/run/netns"), Path("/sys/class/net"), *_mounts()]
    return {
        match.group()
        for place in places
        if place.is_dir()
        for entry in os.listdir(place)
        if (match := NAME.match(entry))
    }


def sweep() -> list[str]:
    """Remove dead labs; return their names."""
    swept = []
    for name in sorted(names()):
        ROOT.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = file_lock(ROOT / f"{name}.lock")
        if try_acquire(lock):
            remove(name)
            delete_lock(lock)
            swept.append(name)
    return swept


def remove(name: str) -> None:
    """Remove a lab's processes, control groups, links, namespaces, mounts and folder."""
    spaces = Path("/run/netns")
    places = [*_mounts(), *([spaces] if spaces.is_dir() else [])]
    for host in sorted({entry.name for place in places for entry in place.glob(f"{name}*")}):
        remove_host(host)
    if (Path("/sys/class/net") / f"{name}c").exists():
        with contextlib.suppress(RuntimeError):  # its peer's namespace took it along meanwhile
            ip("link", "del", f"{name}c")
    folder = ROOT / name
    for line in Path("/proc/mounts").read_text().splitlines():
        if (at := line.split()[1]).startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", at], check=True, capture_output=True)
    if folder.exists():
        shutil.rmtree(folder)


def remove_host(name: str) -> None:
    """Remove one host's processes, control groups and namespace; its folder stays."""
    groups = tuple(base / name for base in _mounts() if (base / name).is_dir())
    kill_group(groups)
    for group in groups:
        _remove_group(group)
    if (Path("/run/netns") / name).exists():
        ip("netns", "del", name)


def _mounts() -> list[Path]:
    """Return the folders in which groups can be made: one a controller (v1), or one (v2)."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    found = [CGROUPS / name for name in CONTROLLERS]
    return [base for base in found if (base / "cgroup.procs").exists()]


def controllers() -> list[Path]:
    """Return the folders in which this user may make groups."""
    return [base for base in _mounts() if os.access(base, os.W_OK)]


def make_group(name: str, cores: float | None, memory_mb: int | None) -> tuple[Path, ...]:
    """Make a host's control groups with its limits (None: it only counts)."""
    if (CGROUPS / "cgroup.controllers").exists():
        (CGROUPS / "cgroup.subtree_control").write_text("+cpu +memory")
    groups = tuple(base / name for base in controllers())
    period = 100_000  # microseconds
    for group in groups:
        group.mkdir()
        limits = {
            "cpu.max": cores and f"{round(cores * period)} {period}",
            "cpu.cfs_quota_us": cores and str(round(cores * period)),
            "memory.max": memory_mb and str(memory_mb << 20),
            "memory.limit_in_bytes": memory_mb and str(memory_mb << 20),
        }
        for file, text in limits.items():
            if text and (group / file).exists():
                (group / file).write_text(f"{text}\n")
    return groups


def members(groups: tuple[Path, ...]) -> list[int]:
    """Return the processes in any of the groups, and in groups that were made inside them."""
    texts = []
    for group in [inner for outer in groups for inner in _nested(outer)]:
        with contextlib.suppress(OSError):
            texts.append((group / "cgroup.procs").read_text())
    return sorted({int(pid) for text in texts for pid in text.split()})


def _nested(group: Path) -> list[Path]:
    """Return the groups inside a group, innermost first, itself last."""
    return [Path(top) for top, _, _ in os.walk(group, topdown=False)]


def command(pid: int) -> str:
    """Return a process's name, or nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def kill_group(groups: tuple[Path, ...], timeout: float = 10.0) -> None:
    """Kill every process in the groups, and wait until none is left."""
    end = time.monotonic() + timeout
    while pids := members(groups):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        _children[:] = [child for child in _children if child.poll() is None]
        if time.monotonic() > end:
            raise RuntimeError(f"processes {pids} outlive SIGKILL")
        time.sleep(0.02)
    _children[:] = [child for child in _children if child.poll() is None]


def _remove_group(group: Path, timeout: float = 10.0) -> None:
    end = time.monotonic() + timeout
    while group.exists():
        try:
            for inner in _nested(group):
                inner.rmdir()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
