"""CPU limits and CPU accounting by Linux control groups, version 1 and version 2.

Standard library only, beside ``bench.errors``.

Benchcast makes its groups directly below its own group (version 1), or below the nearest ancestor
that is writable and delegates the cpu controller (version 2). The quota's period is 100 ms, the
kernel's default, as in Docker and Kubernetes: a worker of half a core is throttled like a
container with ``--cpus=0.5``.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import LaunchFailed

ROOT = Path("/sys/fs/cgroup")
PERIOD = 100_000  # microseconds
LEAST_QUOTA = 1_000  # microseconds: the kernel's minimum
PREFIX = "benchcast."


@dataclass(frozen=True)
class Group:
    """A control group that Benchcast made: a folder for each controller (version 1), or one."""

    version: int
    folders: tuple[Path, ...]

    def enter(self, argv: Sequence[str]) -> list[str]:
        """Return a command that joins the group and then becomes ``argv``."""
        joins = " && ".join(
            f"echo $$ > {shlex.quote(str(folder / 'cgroup.procs'))}" for folder in self.folders
        )
        or_fail = '{ echo "benchcast: cannot enter the control group" >&2; exit 125; }'
        return ["/bin/sh", "-c", f'{{ {joins}; }} || {or_fail}; exec "$@"', "sh", *argv]

    def limit(self, cores: float | None) -> None:
        """Set the quota to ``cores`` of CPU time a second, or lift it (None)."""
        quota = None if cores is None else max(LEAST_QUOTA, round(cores * PERIOD))
        for folder in self.folders:
            if self.version == 2 and (quota is not None or (folder / "cpu.max").exists()):
                (folder / "cpu.max").write_text(f"{quota or 'max'} {PERIOD}\n")
            elif self.version == 1 and folder.parent.joinpath("cpu.cfs_quota_us").exists():
                (folder / "cpu.cfs_period_us").write_text(f"{PERIOD}\n")
                (folder / "cpu.cfs_quota_us").write_text(f"{quota or -1}\n")

    def cpu_seconds(self) -> float | None:
        """Return the CPU seconds that all its processes used so far."""
        for folder in self.folders:
            if (usage := _read(folder / "cpuacct.usage")) is not None:
                return int(usage) / 1e9
            if (micros := _stat(folder).get("usage_usec")) is not None:
                return micros / 1e6
        return None

    def throttled(self) -> tuple[int, float] | None:
        """Return how often, and for how many seconds, the quota throttled it."""
        return next((t for folder in self.folders if (t := _throttled(folder))), None)

    def pids(self) -> list[int]:
        """Return the processes inside."""
        texts = (_read(folder / "cgroup.procs") or "" for folder in self.folders)
        return sorted({int(pid) for text in texts for pid in text.split()})


class Cgroups:
    """The control groups that this process may make."""

    def __init__(
        self,
        root: Path = ROOT,
        own: Path = Path("/proc/self/cgroup"),
        rmdir: Callable[[Path], None] = os.rmdir,
    ) -> None:
        """Look below ``root`` (the mount) for the groups that ``own`` names."""
        self._rmdir = rmdir
        self._paths = _own_paths(own)
        self.version = 2 if (root / "cgroup.controllers").exists() else 1
        self._root = root
        self._enclosing = list(self._lineage(root))
        self._bases = self._find_bases(root)
        self._reason: str | None = None
        self._probed = False

    def available(self) -> str | None:
        """Return why CPU limits cannot be set here, or None if they can (tried once)."""
        if not self._probed:
            self._reason = self._probe()
            self._probed = True
        return self._reason

    def create(self, name: str, cores: float | None) -> Group:
        """Make the group ``name`` with a quota of ``cores`` (None: it only counts).

        Raises LaunchFailed when it cannot be made.
        """
        group = self.group(name)
        try:
            for folder in group.folders:
                folder.mkdir(exist_ok=True)
            group.limit(cores)
        except OSError as error:
            with contextlib.suppress(OSError):  # the first failure is the one to report
                self.remove(group, timeout=0.0)
            raise LaunchFailed(
                f"the control group {name} cannot be made: {error.strerror}",
                remedy="drop cpu_limit, or run where control groups may be written",
            ) from error
        return group

    def group(self, name: str) -> Group:
        """Return the group of this name, whether it exists or not."""
        return Group(version=self.version, folders=tuple(base / name for base in self._bases))

    def remove(self, group: Group, timeout: float = 5.0) -> None:
        """Remove a group; wait at most ``timeout`` seconds for its last process to leave it."""
        deadline = time.monotonic() + timeout
        for folder in group.folders:
            while folder.exists():
                try:
                    self._rmdir(folder)
                except FileNotFoundError:
                    break
                except OSError as error:
                    if error.errno != errno.EBUSY or time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)

    def everywhere(self) -> dict[str, Group]:
        """Return all groups that Benchcast made, by name, also those of other logins."""
        mounts = [self._root] if self.version == 2 else list(_mounts(self._root).values())
        folders: dict[str, list[Path]] = {}
        for mount in {mount.resolve(): mount for mount in mounts}.values():
            for top, names, _ in os.walk(mount):
                for name in names:
                    if name.startswith(PREFIX):
                        folders.setdefault(name, []).append(Path(top) / name)
        return {
            name: Group(version=self.version, folders=tuple(paths))
            for name, paths in sorted(folders.items())
        }

    def throttled_by_enclosing(self) -> float | None:
        """Return the seconds that quotas of the enclosing groups withheld (a container's)."""
        seconds = [t[1] for folder in self._enclosing if (t := _throttled(folder))]
        return sum(seconds) if seconds else None

    def _lineage(self, root: Path) -> Iterator[Path]:
        """Yield the own group of the cpu controller and its ancestors, the mount last."""
        mount = root if self.version == 2 else root / "cpu"
        own = _below(mount, self._paths.get("" if self.version == 2 else "cpu", "/"))
        yield from (own, *(parent for parent in own.parents if parent.is_relative_to(mount)))

    def _find_bases(self, root: Path) -> tuple[Path, ...]:
        if self.version == 2:
            fit = (
                f for f in self._enclosing if "cpu" in (_read(f / "cgroup.subtree_control") or "")
            )
            return tuple(f for f in fit if os.access(f, os.W_OK))[:1]
        mounts = _mounts(root)
        if "cpu" not in mounts:
            return ()
        bases = (_below(mount, self._paths.get(name, "/")) for name, mount in mounts.items())
        unique = {base.resolve(): base for base in bases}  # cpu,cpuacct is often one mount
        return tuple(unique.values())

    def _probe(self) -> str | None:
        """Make a group, set a quota, move a process into it, and remove it again."""
        if not self._bases:
            return (
                "this user may not write a control group that delegates the cpu controller"
                if self.version == 2
                else "the cpu controller of control groups is not mounted"
            )
        group = self.group(f"{PREFIX}probe-{os.getpid()}")
        try:
            for folder in group.folders:
                folder.mkdir(exist_ok=True)
            group.limit(1.0)
            done = subprocess.run(
                group.enter(["true"]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            return f"control groups cannot be written here ({error.strerror})"
        finally:
            with contextlib.suppress(OSError):
                self.remove(group, timeout=1.0)
        return None if done.returncode == 0 else "processes cannot be moved into a control group"


@functools.cache
def control() -> Cgroups:
    """Return the control groups that this process may make here."""
    return Cgroups()


def _mounts(root: Path) -> dict[str, Path]:
    """Return version 1's CPU controllers, each with its mount."""
    return {name: root / name for name in ("cpu", "cpuacct") if (root / name).is_dir()}


def _own_paths(own: Path) -> dict[str, str]:
    """Return controller -> path of the own group; version 2's controller is an empty string."""
    paths: dict[str, str] = {}
    for line in (_read(own) or "").splitlines():
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.split(","), path))
    return paths


def _below(mount: Path, path: str) -> Path:
    """Return the own group's folder; in a container its path may not exist: then the mount."""
    folder = mount / path.lstrip("/")
    return folder if folder.is_dir() else mount


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def _stat(folder: Path) -> dict[str, int]:
    """Return cpu.stat as numbers."""
    lines = (line.split() for line in (_read(folder / "cpu.stat") or "").splitlines())
    return {fields[0]: int(fields[1]) for fields in lines if len(fields) == 2}


def _throttled(folder: Path) -> tuple[int, float] | None:
    """Return (times, seconds): nanoseconds in version 1, microseconds in version 2."""
    stat = _stat(folder)
    if "nr_throttled" not in stat:
        return None
    if "throttled_usec" in stat:
        return stat["nr_throttled"], stat["throttled_usec"] / 1e6
    return stat["nr_throttled"], stat.get("throttled_time", 0) / 1e9
