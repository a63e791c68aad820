"""This machine as a provider of hosts: each host a marked folder, optionally a control group.

All that a host's processes write lies in ``<temporary folder>/benchcast-<uid>/<mark>/<index>/``.
Every process carries its owner in its environment, so that what a killed harness leaves behind
is found and removed by the next one.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from bench.contracts import Capacity, Host, MetricSource, OwnedResource
from bench.directories import work_root, work_roots
from bench.errors import LaunchFailed
from bench.hosts import agent, agentfiles, facts, processes
from bench.hosts.cgroups import PREFIX, Cgroups, Group
from bench.hosts.local_sampling import GpuSampler, HostSampler, gpu_present
from bench.hosts.spawned import LocalProcess
from bench.records.cluster import Owner
from bench.records.results import Machine
from bench.records.study import Shape

_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH")
_given: collections.deque[int] = collections.deque(maxlen=1024)  # ports handed out lately
_given_lock = threading.Lock()


def owner_value(owner: Owner) -> str:
    """Return what ``BENCHCAST_OWNER`` holds for this owner."""
    return f"{owner.study}/{owner.session}/{owner.cluster}"


class LocalHost:
    """A part of this machine: a folder, a process mark and, where possible, a control group."""

    address = "127.0.0.1"
    python = sys.executable

    def __init__(self, folder: Path, owner: Owner, index: int, cgroups: Cgroups) -> None:
        """Take an existing marked ``folder``."""
        self.folder = folder
        self.owner = owner
        self.index = index
        self._cgroups = cgroups
        self._group: Group | None = None
        self._limited = False
        self._spawned: list[LocalProcess] = []
        self._numbers = itertools.count(1)
        (folder / "tmp").mkdir(exist_ok=True)

    @property
    def marks(self) -> dict[str, str]:
        """The environment by which this host's processes are known."""
        return {processes.OWNER: owner_value(self.owner), processes.HOST: str(self.index)}

    def machine(self) -> Machine:
        """Return the machine's facts."""
        return facts.machine()

    def free_ports(self, count: int) -> list[int]:
        """Return ``count`` ports that were free just now; none is handed out twice soon."""
        with _given_lock, contextlib.ExitStack() as stack:
            ports: list[int] = []
            while len(ports) < count:
                probe = stack.enter_context(socket.socket())
                probe.bind(("", 0))
                port = int(probe.getsockname()[1])
                if port not in _given:
                    ports.append(port)
            _given.extend(ports)
            return ports

    def run(self, argv: Sequence[str], timeout: float = 60.0) -> tuple[int, str]:
        """Run a short command; return its exit code and output (124: it took too long)."""
        code, text = agentfiles.run(list(argv), timeout)
        return code, text

    def package(self, name: str) -> Path | None:
        """Return the folder of a package that this Python has, or None."""
        found = agent.package(name)
        return Path(found) if found is not None else None

    def ask(self, url: str) -> str | None:
        """Return the body of an HTTP answer, or None while there is none."""
        return agent.ask(url)

    def limit(self, shape: Shape) -> None:
        """Hold processes spawned from now on to ``shape.cpu_limit``; else only count their CPU."""
        reason = self._cgroups.available()
        if shape.cpu_limit is not None and reason is not None:
            raise LaunchFailed(
                f"cpu_limit = {shape.cpu_limit:g} cannot be held here: {reason}",
                remedy="drop cpu_limit, or run as a user who may write control groups",
            )
        self._limited = shape.cpu_limit is not None
        if reason is None:
            name = f"{PREFIX}{self.owner.mark}.{self.index}"
            self._group = self._cgroups.create(name, shape.cpu_limit)

    def put(self, source: Path, path: str) -> Path:
        """Copy a file to ``path`` below the host's folder."""
        target = self.folder / path
        if not target.resolve().is_relative_to(self.folder.resolve()):
            raise LaunchFailed(f"{path!r} leaves the host's folder", remedy="use a path below it")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        return target

    def get(self, path: Path, target: Path) -> None:
        """Copy a file or a folder of the host to ``target`` here."""
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(path, target)

    def spawn(self, name: str, argv: Sequence[str], env: Mapping[str, str]) -> LocalProcess:
        """Start a process in a session of its own; its output goes to ``<name>.log``.

        Of the harness's own environment it gets only the path, the home folder and the language.
        """
        number = next(self._numbers)
        output = self.folder / f"{name}.log"
        if output.exists():
            output = self.folder / f"{name}.{number}.log"
        mark = {**self.marks, processes.PROCESS: f"{self.owner.mark}.{self.index}.{number}"}
        temporary = str(self.folder / "tmp")
        kept = {k: v for k, v in os.environ.items() if k in _KEPT or k.startswith("LC_")}
        full = {**kept, "TMPDIR": temporary, "SPARK_LOCAL_DIRS": temporary, **env, **mark}
        command = self._group.enter(argv) if self._group else list(argv)
        process = LocalProcess(command, full, self.folder, output, mark)
        self._spawned.append(process)
        return process

    def cpu_seconds(self) -> float | None:
        """Return the CPU time of this host's processes so far: its group's, else summed.

        The sum counts living processes and ended ones that were waited for.
        """
        if self._group is not None:
            return self._group.cpu_seconds()
        if not self._spawned:
            return None
        reaped = sum(process.reaped_cpu for process in self._spawned)
        return reaped + sum(processes.cpu_seconds(pid) for pid, _ in processes.scan(self.marks))

    def throttled(self) -> float | None:
        """Return the seconds that quotas around the harness (not the host's own) took, if known."""
        return None if self._limited else self._cgroups.throttled_around()

    def close(self) -> None:
        """End its processes, and remove its group and folder; idempotent."""
        for process in self._spawned:
            process.terminate()
        for process in self._spawned:
            process.kill()
        processes.end(self._pids, f"host {self.index} of {self.owner.mark}")
        if self._group is not None:
            self._cgroups.remove(self._group)
            self._group = None
        remove_tree(self.folder)

    def _pids(self) -> list[int]:
        inside = self._group.pids() if self._group else []
        return sorted({*inside, *(pid for pid, _ in processes.scan(self.marks))})


class LocalProvider:
    """Hands out parts of this machine."""

    def __init__(self, cgroups: Cgroups | None = None) -> None:
        """Use the machine's control groups, or those given."""
        self._cgroups = cgroups or Cgroups()
        self._indices: dict[str, itertools.count[int]] = {}

    def acquire(self, count: int, owner: Owner) -> list[Host]:
        """Make ``count`` marked folders; the owner's facts are written before anything else."""
        marked = work_root() / owner.mark
        marked.mkdir(mode=0o700, exist_ok=True)
        (marked / "owner.json").write_bytes(msgspec.json.encode(owner))
        indices = self._indices.setdefault(owner.mark, itertools.count())
        hosts: list[Host] = []
        for index in itertools.islice(indices, count):
            folder = marked / str(index)
            folder.mkdir(exist_ok=True)
            hosts.append(LocalHost(folder, owner, index, self._cgroups))
        return hosts

    def release(self, hosts: Sequence[Host]) -> None:
        """End what runs on the hosts and remove them; the last one takes the marked folder."""
        for host in hosts:
            if not isinstance(host, LocalHost):
                raise TypeError(f"not a host of this machine: {host!r}")
            host.close()
        for marked in {host.folder.parent for host in hosts}:
            if marked.is_dir() and not any(child.name.isdigit() for child in marked.iterdir()):
                remove_tree(marked)

    def owned(self) -> Iterable[OwnedResource]:
        """List what carries a mark on this machine: one entry an owner, living owners too."""
        from bench.hosts.leftovers import find

        return find(work_roots(), self._cgroups)

    def sources(self, hosts: Sequence[Host]) -> Sequence[MetricSource]:
        """Return the machine's samplers; the first host is the driver, then the workers."""
        local = [host for host in hosts if isinstance(host, LocalHost)]
        if not local:
            return []
        scopes = {host.index: f"worker-{rank - 1}" for rank, host in enumerate(local)}
        scopes[local[0].index] = "driver"
        owner = local[0].owner
        mark, folder = owner_value(owner), local[0].folder.parent
        gpus = [GpuSampler(mark, folder)] if gpu_present() else []
        return [HostSampler(mark, scopes, folder), *gpus]

    def machine_capacity(self) -> Capacity:
        """Return this machine's cores and memory."""
        return facts.capacity()

    def close(self) -> None:
        """Nothing is connected to this machine."""


def remove_tree(folder: Path) -> None:
    """Remove a folder, also while a dying process still writes into it."""
    for attempt in range(20):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            if not folder.exists():
                return
        except OSError:
            if attempt == 19:
                raise
        else:
            return
        time.sleep(0.05)
