"""A host at the other end of an SSH connection: a marked folder and marked processes there."""

from __future__ import annotations

import base64
import contextlib
import errno
import functools
import hashlib
import itertools
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.errors import HostLost, LaunchFailed
from bench.hosts import agent, facts, processes
from bench.hosts.cgroups import PREFIX
from bench.hosts.link import Link
from bench.records.cluster import Owner
from bench.records.results import Machine
from bench.records.study import Shape

PIECE = 1 << 18  # bytes of a file in one request
BESIDE = "BENCHCAST_BESIDE"  # as processes.HOST, of what is not the host's own work
FULL = 1 << 20  # bytes: a disk that has fewer left is full
LOOKS = (0.05, 0.5)  # seconds between looks at a process: at first, and later
_FIND = (
    "import importlib.util,os,sys;s=importlib.util.find_spec(sys.argv[1]);"
    "print(os.path.dirname(s.origin) if s and s.origin else '')"
)


def owner_value(owner: Owner) -> str:
    """Return what ``BENCHCAST_OWNER`` holds for this owner."""
    return f"{owner.study}/{owner.session}/{owner.cluster}"


class SshProcess:
    """A process over there, known by pid and start time; it outlives connections.

    A host that is lost cannot be asked to end it: ``kill`` returns, and the next ``cleanup``
    finds what is left by its mark.
    """

    def __init__(self, link: Link, known: Sequence[object], output: Path, mark: str) -> None:
        """Follow a process; ``known`` is what the agent said when it started it."""
        self.output = output
        self._known = list(known)
        self._link = link
        self._mark = mark
        self._code: int | None = None
        self._full = False  # the disk, when it failed

    def read(self, offset: int = 0) -> bytes:
        """Return its output from ``offset`` on."""
        pieces = read_pieces(self._link, str(self.output), offset)
        return b"".join(pieces)

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs.

        HostLost when nobody answers, and when it failed on a full disk: its last words are not
        in its output then, and its exit code may be unknown.
        """
        if self._code is None:
            self._code = self._link.call("poll", known=self._known, output=str(self.output))
            if self._code:
                self._full = self._link.call("folder", path=str(self.output.parent)) < FULL
        if self._full:
            what = f"host {self._link.address.name}: {os.strerror(errno.ENOSPC)}"
            raise HostLost(f"{what}: what was written there is lost", remedy="free space there")
        return self._code

    def wait(self, timeout: float) -> int | None:
        """Wait at most ``timeout`` seconds for the exit code."""
        deadline = time.monotonic() + timeout
        pause = LOOKS[0]
        while (code := self.poll()) is None and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(pause, left))
            pause = min(LOOKS[1], pause * 1.5)
        return code

    def kill(self) -> None:
        """End everything with its mark."""
        try:
            end(self._link, {processes.PROCESS: self._mark})
            self.poll()
        except HostLost:
            self._code = agent.LOST if self._code is None else self._code


class SshHost:
    """A worker's or driver's place on a machine that is reached by SSH.

    ``python`` is the interpreter that the engines' programs run on, the agent's unless one was
    built; ``cache`` is the folder of things that are named by their digest, nobody's.
    """

    def __init__(self, link: Link, root: Path, address: str, owner: Owner, index: int) -> None:
        """Take the marked folder ``work/<mark>/<index>`` of ``root``, which exists."""
        self.link = link
        self.address = address
        self.owner = owner
        self.index = index
        self.python = str(link.told["python"])
        self.folder = root / "work" / owner.mark / str(index)
        self.cache = root / "cache"
        self._machine = facts.as_machine(link.told)
        self._group: list[str] = []  # its control group's folders
        self._limited = False
        self._numbers = itertools.count(1)
        self._names: set[str] = set()
        self._outputs: list[str] = []
        self._temporary = str(self.folder / "tmp")

    @property
    def name(self) -> str:
        """The address as the study writes it."""
        return self.link.address.name

    @property
    def marks(self) -> dict[str, str]:
        """The environment by which this host's processes are known."""
        return {processes.OWNER: owner_value(self.owner), processes.HOST: str(self.index)}

    @property
    def _beside(self) -> dict[str, str]:
        """The environment by which what was started beside its work is known."""
        return {processes.OWNER: owner_value(self.owner), BESIDE: str(self.index)}

    def machine(self) -> Machine:
        """Return the machine's facts."""
        return self._machine

    def free_ports(self, count: int) -> list[int]:
        """Return ``count`` ports that were free over there just now."""
        return list(self.link.call("ports", count=count))

    def run(self, argv: Sequence[str], timeout: float = 60.0) -> tuple[int, str]:
        """Run a short command; return its exit code and output."""
        code, text = self.link.call("run", timeout=timeout + 15, argv=list(argv), seconds=timeout)
        return int(code), str(text)

    def package(self, name: str) -> Path | None:
        """Return the folder of a package that the Python over there has, or None."""
        if self.python == self.link.told["python"]:
            found = self.link.call("package", name=name)
            return Path(found) if found is not None else None
        code, text = self.run([self.python, "-I", "-c", _FIND, name])
        return Path(text.strip()) if code == 0 and text.strip() else None

    def variable(self, name: str) -> str | None:
        """Return an environment variable as a login by SSH has it."""
        code, text = self.run(["printenv", name])
        return text.rstrip("\n") if code == 0 else None

    def ask(self, url: str) -> str | None:
        """Return the body of an HTTP answer as the host gets it."""
        answer: str | None = self.link.call("ask", url=url)
        return answer

    def limit(self, shape: Shape) -> None:
        """Hold processes spawned from now on to ``shape.cpu_limit``; else only count their CPU."""
        reason = self.link.call("quotas")
        if shape.cpu_limit is not None and reason is not None:
            raise LaunchFailed(
                f"cpu_limit = {shape.cpu_limit:g} cannot be held on host {self.name}: {reason}",
                remedy="drop cpu_limit, or log in as a user who may write control groups",
            )
        self._limited = shape.cpu_limit is not None
        if reason is None:
            self._group = self._group_of(shape.cpu_limit)

    def _group_of(self, cores: float | None) -> list[str]:
        """Make the host's control group, or the one that there is already hold other cores."""
        if self._group:
            self.link.call("change", folders=self._group, cores=cores)
            return self._group
        name = f"{PREFIX}{self.owner.mark}.{self.index}"
        return list(self.link.call("limit", name=name, cores=cores))

    def put(self, source: Path, path: str) -> Path:
        """Copy a file to ``path`` below the host's folder; its bytes travel once a digest."""
        target = self.folder / path
        if ".." in target.parts or not target.is_relative_to(self.folder):
            raise LaunchFailed(f"{path!r} leaves the host's folder", remedy="use a path below it")
        data = source.read_bytes()
        fresh = f"{target}.arriving"
        known, kept = hashlib.sha256(data).hexdigest(), str(self.cache / "files")
        place = functools.partial(
            self.link.call, "place", target=str(target), cache=kept, digest=known
        )
        try:
            if not place():
                write(self.link, data, fresh)
                place(fresh=fresh)
        except OSError as error:
            raise unwritable(self.link, target.name, error) from error
        return target

    def get(self, path: Path, target: Path) -> None:
        """Copy a file or a folder of the host to ``target`` here."""
        names = self.link.call("files", path=str(path))
        if names is None:
            _fetch(self.link, str(path), target)
            return
        target.mkdir(parents=True, exist_ok=True)
        for name in names:
            _fetch(self.link, str(path / name), target / name)

    def spawn(self, name: str, argv: Sequence[str], env: Mapping[str, str]) -> SshProcess:
        """Start a process in a session of its own; its output goes to ``<name>.log``."""
        process = self._start(name, argv, env, self.marks, self._group)
        self._outputs.append(str(process.output))
        return process

    def throttled(self) -> float | None:
        """Return the seconds that quotas around the host's own group took, where it is known."""
        if self._limited:
            return None
        try:
            seconds: float | None = self.link.call("throttled")
        except HostLost:
            return None
        return seconds

    def beside(self, name: str, argv: Sequence[str]) -> SshProcess:
        """Start a process that is not the host's work: its CPU time is nobody's."""
        return self._start(name, argv, {}, self._beside, [])

    def _start(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        marks: Mapping[str, str],
        group: Sequence[str],
    ) -> SshProcess:
        number = next(self._numbers)
        output = self.folder / f"{name}.log"
        if name in self._names:
            output = self.folder / f"{name}.{number}.log"
        self._names.add(name)
        mark = f"{self.owner.mark}.{self.index}.{number}"
        full = {"TMPDIR": self._temporary, "SPARK_LOCAL_DIRS": self._temporary, **env}
        full |= {**marks, processes.PROCESS: mark}
        try:
            known = self.link.call(
                "spawn",
                argv=list(argv),
                env=full,
                cwd=str(self.folder),
                output=str(output),
                group=list(group),
            )
        except OSError as error:
            what = f"{Path(argv[0]).name} did not start on host {self.name}: {error.strerror}"
            raise LaunchFailed(what) from error
        return SshProcess(self.link, known, output, mark)

    def cpu_seconds(self) -> float | None:
        """Return its group's CPU time, else that of living and ended processes, if known."""
        if not self._group and not self._outputs:
            return None
        try:
            seconds: float | None = self.link.call(
                "cpu", marks=self.marks, outputs=self._outputs, group=self._group
            )
        except HostLost:
            return None
        return seconds

    def close(self) -> None:
        """End its processes, remove group and folder; on a lost host all stay, marked.

        LaunchFailed names what would not go.
        """
        groups = [self._group] if self._group else []
        with contextlib.suppress(HostLost):
            end(self.link, self._beside)
            end(self.link, self.marks, groups)
            self._group = []
            remove(self.link, self.folder)

    def leave(self) -> None:
        """Remove the marked folder when no other host of the owner is in it."""
        with contextlib.suppress(HostLost):
            remove(self.link, self.folder.parent, "vacate")


def end(link: Link, marks: Mapping[str, str], groups: Sequence[Sequence[str]] = ()) -> None:
    """End all that carries the marks or is in the groups over there, and remove the groups.

    A group is the list of its folders. LaunchFailed names what would not die.
    """
    limit = agent.LIMIT + 15
    try:
        left = link.call("end", marks=dict(marks), groups=list(groups), timeout=limit)
    except OSError as error:
        what = f"host {link.address.name}: what runs there cannot be ended: {error.strerror}"
        raise LaunchFailed(what, remedy="look at it there") from error
    if left:
        raise LaunchFailed(
            f"host {link.address.name}: {len(left)} processes did not end within"
            f" {agent.LIMIT:g} s of SIGKILL",
            remedy="look at them with ps; one in state D waits for a disk or network share",
        )


def remove(link: Link, folder: Path, op: str = "remove") -> None:
    """Remove a folder over there, or ``vacate`` it; LaunchFailed says why it cannot be."""
    try:
        link.call(op, path=str(folder))
    except OSError as error:
        what = f"host {link.address.name}: a marked folder cannot be removed: {error.strerror}"
        raise LaunchFailed(what, remedy="look at it there, then run benchcast cleanup") from error


def write(link: Link, data: bytes, path: str) -> None:
    """Write a file over there, in pieces that can be repeated."""
    for offset in range(0, max(1, len(data)), PIECE):
        piece = base64.b64encode(data[offset : offset + PIECE]).decode("ascii")
        try:
            link.call("write", path=path, data=piece, offset=offset)
        except OSError as error:
            raise unwritable(link, Path(path).name, error) from error


def unwritable(link: Link, name: str, error: OSError) -> LaunchFailed:
    """Return what to raise when a file cannot be written over there."""
    what = f"host {link.address.name}: {name} cannot be written: {error.strerror}"
    return LaunchFailed(what, remedy="free space there, or say another folder")


def read_pieces(link: Link, path: str, offset: int) -> list[bytes]:
    """Return a file's bytes from ``offset`` on, as far as they are written."""
    pieces: list[bytes] = []
    while True:
        piece = base64.b64decode(link.call("read", path=path, offset=offset, size=PIECE))
        pieces.append(piece)
        offset += len(piece)
        if len(piece) < PIECE:
            return pieces


def _fetch(link: Link, source: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        offset = 0
        while piece := base64.b64decode(link.call("read", path=source, offset=offset, size=PIECE)):
            file.write(piece)
            offset += len(piece)
