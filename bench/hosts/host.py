"""A host and its processes, over an agent: a tagged folder and labelled processes."""

from __future__ import annotations

import collections
import contextlib
import errno
import itertools
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from bench import contracts
from bench.errors import HostLost, LaunchFailed
from bench.hosts.agent import processes
from bench.hosts.agent.cgroups import PREFIX
from bench.hosts.channel import AgentChannel
from bench.hosts.machine import as_machine
from bench.records.cluster import Owner
from bench.records.results import Machine
from bench.records.study import Shape

FULL = 1 << 20  # bytes: a disk with less free space is full
LOOKS = (0.05, 0.5)  # seconds between two polls of a process: at first, and later
_FIND = (
    "import importlib.util,os,sys;s=importlib.util.find_spec(sys.argv[1]);"
    "print(os.path.dirname(s.origin) if s and s.origin else '')"
)
_log = logging.getLogger(__name__)
_ports_lock = threading.Lock()
_ports: dict[str, collections.deque[int]] = {}  # by network: two channels may lead to one machine


class Workspace(msgspec.Struct, frozen=True, kw_only=True):
    """A user's folders on a host.

    ``work/<tag>/<index>`` belongs to a running cluster; ``cache`` holds files and environments by
    their digest and has no owner.
    """

    work: Path
    cache: Path


class Process:
    """A process on a host and its children, found by their label; it outlives connections.

    ``kill`` cannot reach a lost host: it returns, and the next ``cleanup`` finds the processes
    by their label.
    """

    def __init__(
        self, channel: AgentChannel, process: Sequence[object], output: Path, label: str
    ) -> None:
        """Follow a process; ``process`` is the agent's answer to ``spawn``."""
        self.output = output
        self._process = list(process)
        self._channel = channel
        self._label = label
        self._code: int | None = None
        self._full = False  # the disk, when it failed

    def read(self, offset: int = 0) -> bytes:
        """Return its output from ``offset`` on."""
        return self._channel.read(str(self.output), offset)

    def poll(self) -> int | None:
        """Return the exit code (minus the signal's number if one ended it), or None.

        HostLost when the host does not answer, and when the process failed on a full disk: its
        output is then incomplete, and its exit code may be unknown.
        """
        if self._code is None:
            self._code = self._channel.call("poll", process=self._process, output=str(self.output))
            if self._code:
                self._full = self._channel.call("free", path=str(self.output.parent)) < FULL
        if self._full:
            what = f"{self._channel.label}: {os.strerror(errno.ENOSPC)}"
            raise HostLost(f"{what}: the run's output is lost", remedy="free space there")
        return self._code

    def wait(self, timeout: float) -> int | None:
        """Wait at most ``timeout`` seconds for the exit code."""
        deadline = time.monotonic() + timeout
        pause = LOOKS[0]
        while (code := self.poll()) is None and (left := deadline - time.monotonic()) > 0:
            self._channel.pause(self._process, min(pause, left))
            pause = min(LOOKS[1], pause * 1.5)
        return code

    def kill(self) -> None:
        """End it, its session and everything with its label."""
        try:
            end(self._channel, {processes.PROCESS: self._label}, process=self._process)
            self.wait(processes.GRACE)  # its monitor writes the exit code after its end
        except HostLost:
            self._code = processes.LOST if self._code is None else self._code


class Host:
    """A worker's or driver's part of a machine.

    ``python`` is the interpreter for the engines' programs: the agent's, or that of a Python
    environment built for the engine. ``cache`` is the folder of the content-addressed cache.
    """

    def __init__(
        self, channel: AgentChannel, workspace: Workspace, address: str, owner: Owner, index: int
    ) -> None:
        """Use the folder ``<tag>/<index>`` of the workspace; ``create`` makes it."""
        self.channel = channel
        self.address = address
        self.owner = owner
        self.index = index
        self.python = str(channel.greeting["python"])
        self.folder = workspace.work / owner.tag / str(index)
        self.cache = workspace.cache
        self._machine = as_machine(channel.greeting)
        self._group: list[str] = []  # its control group's folders
        self._limited = False
        self._numbers = itertools.count(1)
        self._names: set[str] = set()
        self._outputs: list[str] = []

    @property
    def name(self) -> str:
        """The machine's address as the study writes it."""
        return self.channel.name

    @property
    def labels(self) -> dict[str, str]:
        """Environment variables that identify this host's processes."""
        return {processes.OWNER: self.owner.text, processes.HOST: str(self.index)}

    @property
    def _labels_beside(self) -> dict[str, str]:
        """Environment variables that identify processes beside the host's work (samplers)."""
        return {processes.OWNER: self.owner.text, processes.BESIDE: str(self.index)}

    def machine(self) -> Machine:
        """Return the machine's facts."""
        return self._machine

    def free_ports(self, count: int) -> list[int]:
        """Return ``count`` ports that are free now; recently returned ports are not repeated."""
        with _ports_lock:
            taken = _ports.setdefault(
                str(self.channel.greeting["network"]), collections.deque(maxlen=1024)
            )
            ports: list[int] = self.channel.call("ports", count=count, taken=list(taken))
            taken.extend(ports)
            return ports

    def run(self, argv: Sequence[str], timeout: float = 60.0) -> tuple[int, str]:
        """Run a short command; return its exit code and output (124: it took too long)."""
        code, text = self.channel.call(
            "run", timeout=timeout + 15, argv=list(argv), seconds=timeout
        )
        return int(code), str(text)

    def package(self, name: str) -> Path | None:
        """Return the folder of a package that the host's Python has, or None."""
        if self.python == self.channel.greeting["python"]:
            folder = self.channel.call("package", name=name)
            return Path(folder) if folder is not None else None
        code, text = self.run([self.python, "-I", "-c", _FIND, name])
        return Path(text.strip()) if code == 0 and text.strip() else None

    def environment_variable(self, name: str) -> str | None:
        """Return an environment variable of a login on the host."""
        code, text = self.run(["printenv", name])
        return text.rstrip("\n") if code == 0 else None

    def http_get(self, url: str) -> str | None:
        """Return the body of an HTTP answer that the host gets, or None if there is none yet."""
        answer: str | None = self.channel.call("http_get", url=url)
        return answer

    def limit(self, shape: Shape) -> None:
        """Limit the CPU of later processes to ``cpu_limit``, or only count it."""
        reason = self.channel.call("quotas")
        if shape.cpu_limit is not None and reason is not None:
            raise LaunchFailed(
                f"{self.channel.label} cannot enforce cpu_limit = {shape.cpu_limit:g}: {reason}",
                remedy="drop cpu_limit, or log in as a user who may write control groups",
            )
        self._limited = shape.cpu_limit is not None
        if reason is not None:
            return
        if self._group:
            self.channel.call("set_cpu_limit", folders=self._group, cores=shape.cpu_limit)
        else:
            name = f"{PREFIX}{self.owner.tag}.{self.index}"
            self._group = list(self.channel.call("limit", name=name, cores=shape.cpu_limit))

    def throttled(self) -> float | None:
        """Return the seconds that quotas outside the host's own group withheld, if known."""
        if self._limited:
            return None
        try:
            seconds: float | None = self.channel.call("throttled")
        except HostLost:
            return None
        return seconds

    def put(self, source: Path, path: str) -> Path:
        """Copy a file to ``path`` below the host's folder."""
        target = self.folder / path
        if ".." in target.parts or not target.is_relative_to(self.folder):
            raise LaunchFailed(
                f"{path!r} is outside the host's folder", remedy="use a path below it"
            )
        with writing(self.channel, target.name):
            self.channel.put(source, str(target), str(self.cache / "files"))
        return target

    def get(self, path: Path, target: Path) -> None:
        """Copy a file or folder of the host to ``target`` on this machine."""
        names = self.channel.call("files", path=str(path))
        if names is None:
            self.channel.fetch([(str(path), target)])
            return
        target.mkdir(parents=True, exist_ok=True)
        self.channel.fetch([(str(path / name), target / name) for name in names])

    def spawn(self, name: str, argv: Sequence[str], env: Mapping[str, str]) -> Process:
        """Start a process in a session of its own; its output goes to ``<name>.log``.

        It inherits only PATH, the home folder and the language from the agent's environment.
        """
        process = self._start(name, argv, env, self.labels, self._group)
        self._outputs.append(str(process.output))
        return process

    def beside(self, name: str, argv: Sequence[str]) -> Process:
        """Start a process beside the host's work; its CPU time is not counted."""
        return self._start(name, argv, {}, self._labels_beside, [])

    def _start(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        labels: Mapping[str, str],
        group: Sequence[str],
    ) -> Process:
        number = next(self._numbers)
        output = self.folder / (f"{name}.{number}.log" if name in self._names else f"{name}.log")
        self._names.add(name)
        label = f"{self.owner.tag}.{self.index}.{number}"
        temporary = str(self.folder / "tmp")
        full = {"TMPDIR": temporary, "SPARK_LOCAL_DIRS": temporary, **env}
        full |= {**labels, processes.PROCESS: label}
        try:
            process = self.channel.call(
                "spawn",
                argv=list(argv),
                env=full,
                cwd=str(self.folder),
                output=str(output),
                group=list(group),
            )
        except OSError as error:
            what = f"{Path(argv[0]).name} did not start on {self.channel.label}: {error.strerror}"
            raise LaunchFailed(what) from error
        return Process(self.channel, process, output, label)

    def cpu_seconds(self) -> float | None:
        """Return the CPU seconds of its group, or of all its processes so far, if known."""
        if not self._group and not self._outputs:
            return None
        try:
            seconds: float | None = self.channel.call(
                "cpu", labels=self.labels, outputs=self._outputs, group=self._group
            )
        except HostLost:
            return None
        return seconds

    def create(self) -> None:
        """Create its folder, with the owner's facts as the first file."""
        text = msgspec.json.encode(self.owner).decode()
        with writing(self.channel, "owner.json"):
            self.channel.call("create", folder=str(self.folder), owner=text)

    def close(self) -> None:
        """End its processes, remove its group and folder; idempotent.

        On a lost host they stay, with their tag. LaunchFailed names what could not be removed.
        """
        groups = [self._group] if self._group else []
        with contextlib.suppress(HostLost):
            end(self.channel, self._labels_beside)
            end(self.channel, self.labels, groups)
            self._group = []
            remove(self.channel, self.folder)

    def remove_owner_folder(self) -> None:
        """Remove the owner's folder, unless it contains another host of the owner."""
        with contextlib.suppress(HostLost):
            remove(self.channel, self.folder.parent, "remove_if_empty")


def concrete(hosts: Sequence[contracts.Host]) -> list[Host]:
    """Return hosts as this class; TypeError for any other."""
    agent_hosts = [host for host in hosts if isinstance(host, Host)]
    if len(agent_hosts) < len(hosts):
        raise TypeError(f"not hosts with an agent: {hosts!r}")
    return agent_hosts


def release(hosts: Sequence[contracts.Host]) -> None:
    """End the hosts' processes and remove their folders; a lost machine keeps them, tagged.

    A failure does not stop the release of the other hosts; at the end the first one is raised.
    """
    failures: list[LaunchFailed] = []
    for step in (Host.close, Host.remove_owner_folder):
        for host in concrete(hosts):
            try:
                step(host)
            except LaunchFailed as error:
                failures.append(error)
    for failure in failures[1:]:
        _log.warning("%s", failure)
    if failures:
        raise failures[0]


def end(
    channel: AgentChannel,
    labels: Mapping[str, str],
    groups: Sequence[Sequence[str]] = (),
    process: Sequence[object] = (),
) -> None:
    """End all processes with these labels, in these groups or in the spawned process's session.

    Also remove the groups (each is the list of its folders). LaunchFailed names processes that
    did not end.
    """
    limit = processes.LIMIT + 15
    try:
        unended = channel.call(
            "end", labels=dict(labels), groups=list(groups), process=list(process), timeout=limit
        )
    except OSError as error:
        what = f"{channel.label}: its processes cannot be ended: {error.strerror}"
        raise LaunchFailed(what, remedy="look at it there") from error
    if unended:
        raise LaunchFailed(
            f"{channel.label}: {len(unended)} processes did not end within {processes.LIMIT:g} s of"
            f" SIGKILL (pid {', '.join(map(str, unended[:5]))})",
            remedy="look at them with ps; one in state D waits for a disk or network share",
        )


def remove(channel: AgentChannel, folder: Path, op: str = "remove") -> None:
    """Remove a folder of the host, by the agent's operation ``op``; LaunchFailed if it fails."""
    try:
        channel.call(op, path=str(folder))
    except OSError as error:
        what = f"{channel.label}: a tagged folder cannot be removed: {error.strerror}"
        raise LaunchFailed(what, remedy="look at it there, then run benchcast cleanup") from error


@contextlib.contextmanager
def writing(channel: AgentChannel, name: str) -> Iterator[None]:
    """Raise LaunchFailed that names the file if the host cannot write it."""
    try:
        yield
    except OSError as error:
        what = f"{channel.label}: {name} cannot be written: {error.strerror}"
        raise LaunchFailed(what, remedy="free space there, or use another folder") from error
