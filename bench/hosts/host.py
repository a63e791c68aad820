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
from bench.hosts.tags import owner_text
from bench.records.cluster import Owner
from bench.records.results import Machine
from bench.records.study import Shape

FULL = 1 << 20  # bytes: a disk that has fewer left is full
LOOKS = (0.05, 0.5)  # seconds between looks at a process: at first, and later
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
    """A process on a host and all that it started, by its label; it outlives connections.

    A host that is lost cannot be asked to end it: ``kill`` returns, and the next ``cleanup``
    finds what is left by its label.
    """

    def __init__(
        self, channel: AgentChannel, known: Sequence[object], output: Path, label: str
    ) -> None:
        """Follow a process; ``known`` is what the agent returned when it started it."""
        self.output = output
        self._known = list(known)
        self._channel = channel
        self._label = label
        self._code: int | None = None
        self._full = False  # the disk, when it failed

    def read(self, offset: int = 0) -> bytes:
        """Return its output from ``offset`` on."""
        return self._channel.read(str(self.output), offset)

    def poll(self) -> int | None:
        """Return the exit code (minus the signal's number if one ended it), or None.

        HostLost when nobody answers, and when it failed on a full disk: its last words are not
        in its output then, and its exit code may be unknown.
        """
        if self._code is None:
            self._code = self._channel.call("poll", known=self._known, output=str(self.output))
            if self._code:
                self._full = self._channel.call("free", path=str(self.output.parent)) < FULL
        if self._full:
            what = f"{self._channel.label}: {os.strerror(errno.ENOSPC)}"
            raise HostLost(f"{what}: what was written there is lost", remedy="free space there")
        return self._code

    def wait(self, timeout: float) -> int | None:
        """Wait at most ``timeout`` seconds for the exit code."""
        deadline = time.monotonic() + timeout
        pause = LOOKS[0]
        while (code := self.poll()) is None and (left := deadline - time.monotonic()) > 0:
            self._channel.pause(self._known, min(pause, left))
            pause = min(LOOKS[1], pause * 1.5)
        return code

    def kill(self) -> None:
        """End it, its session and everything with its label."""
        try:
            end(self._channel, {processes.PROCESS: self._label}, known=self._known)
            self.wait(processes.GRACE)  # its monitor writes the exit code after its end
        except HostLost:
            self._code = processes.LOST if self._code is None else self._code


class Host:
    """A worker's or driver's part of a machine.

    ``python`` is the interpreter that the engines' programs run on, the agent's unless one was
    built; ``cache`` is the folder of things that are named by their digest.
    """

    def __init__(
        self, channel: AgentChannel, workspace: Workspace, address: str, owner: Owner, index: int
    ) -> None:
        """Take the folder ``<tag>/<index>`` of the workspace; nothing is made yet."""
        self.channel = channel
        self.address = address
        self.owner = owner
        self.index = index
        self.python = str(channel.greeting["python"])
        self.folder = workspace.work / owner.mark / str(index)
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
        """The environment by which this host's processes are known."""
        return {processes.OWNER: owner_text(self.owner), processes.HOST: str(self.index)}

    @property
    def _labels_beside(self) -> dict[str, str]:
        """The environment by which what was started beside its work is known."""
        return {processes.OWNER: owner_text(self.owner), processes.BESIDE: str(self.index)}

    def machine(self) -> Machine:
        """Return the machine's facts."""
        return self._machine

    def free_ports(self, count: int) -> list[int]:
        """Return ``count`` ports that were free just now; none is handed out twice soon."""
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
            found = self.channel.call("package", name=name)
            return Path(found) if found is not None else None
        code, text = self.run([self.python, "-I", "-c", _FIND, name])
        return Path(text.strip()) if code == 0 and text.strip() else None

    def variable(self, name: str) -> str | None:
        """Return an environment variable as a login there has it."""
        code, text = self.run(["printenv", name])
        return text.rstrip("\n") if code == 0 else None

    def ask(self, url: str) -> str | None:
        """Return the body of an HTTP answer as the host gets it, or None while there is none."""
        answer: str | None = self.channel.call("http_get", url=url)
        return answer

    def limit(self, shape: Shape) -> None:
        """Hold processes spawned from now on to ``shape.cpu_limit``; else only count their CPU."""
        reason = self.channel.call("quotas")
        if shape.cpu_limit is not None and reason is not None:
            raise LaunchFailed(
                f"cpu_limit = {shape.cpu_limit:g} cannot be held on {self.channel.label}: {reason}",
                remedy="drop cpu_limit, or be a user who may write control groups there",
            )
        self._limited = shape.cpu_limit is not None
        if reason is not None:
            return
        if self._group:
            self.channel.call("set_cpu_limit", folders=self._group, cores=shape.cpu_limit)
        else:
            name = f"{PREFIX}{self.owner.mark}.{self.index}"
            self._group = list(self.channel.call("limit", name=name, cores=shape.cpu_limit))

    def throttled(self) -> float | None:
        """Return the seconds that quotas around the host's own group took, where it is known."""
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
            raise LaunchFailed(f"{path!r} leaves the host's folder", remedy="use a path below it")
        with writing(self.channel, target.name):
            self.channel.put(source, str(target), str(self.cache / "files"))
        return target

    def get(self, path: Path, target: Path) -> None:
        """Copy a file or a folder of the host to ``target`` here."""
        names = self.channel.call("files", path=str(path))
        if names is None:
            self.channel.fetch([(str(path), target)])
            return
        target.mkdir(parents=True, exist_ok=True)
        self.channel.fetch([(str(path / name), target / name) for name in names])

    def spawn(self, name: str, argv: Sequence[str], env: Mapping[str, str]) -> Process:
        """Start a process in a session of its own; its output goes to ``<name>.log``.

        Of the agent's own environment it gets only the path, the home folder and the language.
        """
        process = self._start(name, argv, env, self.labels, self._group)
        self._outputs.append(str(process.output))
        return process

    def beside(self, name: str, argv: Sequence[str]) -> Process:
        """Start a process that is not the host's work: its CPU time is nobody's."""
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
        label = f"{self.owner.mark}.{self.index}.{number}"
        temporary = str(self.folder / "tmp")
        full = {"TMPDIR": temporary, "SPARK_LOCAL_DIRS": temporary, **env}
        full |= {**labels, processes.PROCESS: label}
        try:
            known = self.channel.call(
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
        return Process(self.channel, known, output, label)

    def cpu_seconds(self) -> float | None:
        """Return its group's CPU time, else that of living and ended processes, if known."""
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
        """Make its folder: the owner's facts are written before anything else."""
        text = msgspec.json.encode(self.owner).decode()
        with writing(self.channel, "owner.json"):
            self.channel.call("create", folder=str(self.folder), owner=text)

    def close(self) -> None:
        """End its processes, remove group and folder; on a lost host all stay, tagged.

        Idempotent. LaunchFailed names what would not go.
        """
        groups = [self._group] if self._group else []
        with contextlib.suppress(HostLost):
            end(self.channel, self._labels_beside)
            end(self.channel, self.labels, groups)
            self._group = []
            remove(self.channel, self.folder)

    def leave(self) -> None:
        """Remove the owner's folder when no other host of the owner is in it."""
        with contextlib.suppress(HostLost):
            remove(self.channel, self.folder.parent, "remove_if_empty")


def concrete(hosts: Sequence[contracts.Host]) -> list[Host]:
    """Return hosts as this class; TypeError for any other."""
    known = [host for host in hosts if isinstance(host, Host)]
    if len(known) < len(hosts):
        raise TypeError(f"not hosts with an agent: {hosts!r}")
    return known


def release(hosts: Sequence[contracts.Host]) -> None:
    """End what runs on the hosts and remove it; a lost machine keeps it, tagged.

    One that fails does not keep the others: the first failure is raised in the end.
    """
    failures: list[LaunchFailed] = []
    for step in (Host.close, Host.leave):
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
    known: Sequence[object] = (),
) -> None:
    """End all that carries the labels, is in the groups or the spawned process's session.

    The groups, each the list of its folders, are removed. LaunchFailed names what would not die.
    """
    limit = processes.LIMIT + 15
    try:
        left = channel.call(
            "end", labels=dict(labels), groups=list(groups), known=list(known), timeout=limit
        )
    except OSError as error:
        what = f"{channel.label}: what runs there cannot be ended: {error.strerror}"
        raise LaunchFailed(what, remedy="look at it there") from error
    if left:
        raise LaunchFailed(
            f"{channel.label}: {len(left)} processes did not end within {processes.LIMIT:g} s of"
            f" SIGKILL (pid {', '.join(map(str, left[:5]))})",
            remedy="look at them with ps; one in state D waits for a disk or network share",
        )


def remove(channel: AgentChannel, folder: Path, op: str = "remove") -> None:
    """Remove a folder over there, or ``remove_if_empty``; LaunchFailed says why it cannot be."""
    try:
        channel.call(op, path=str(folder))
    except OSError as error:
        what = f"{channel.label}: a tagged folder cannot be removed: {error.strerror}"
        raise LaunchFailed(what, remedy="look at it there, then run benchcast cleanup") from error


@contextlib.contextmanager
def writing(channel: AgentChannel, name: str) -> Iterator[None]:
    """Raise LaunchFailed that names the file where it cannot be written over there."""
    try:
        yield
    except OSError as error:
        what = f"{channel.label}: {name} cannot be written: {error.strerror}"
        raise LaunchFailed(what, remedy="free space there, or use another folder") from error
