"""A host at the other end of an SSH connection: a marked folder and marked processes there."""

from __future__ import annotations

import base64
import contextlib
import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.errors import HostLost, LaunchFailed
from bench.hosts import agent, facts, processes
from bench.hosts.link import Link
from bench.model import Machine, Owner, Shape

PIECE = 1 << 18  # bytes of a file in one request
LOOKS = (0.05, 0.5)  # seconds between looks at a process: at first, and later


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

    def read(self, offset: int = 0) -> bytes:
        """Return its output from ``offset`` on."""
        pieces = read_pieces(self._link, str(self.output), offset)
        return b"".join(pieces)

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs; HostLost when nobody answers."""
        if self._code is None:
            self._code = self._link.call("poll", known=self._known, output=str(self.output))
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
    """A worker's or driver's place on a machine that is reached by SSH."""

    def __init__(
        self,
        link: Link,
        told: Mapping[str, object],
        folder: Path,
        address: str,
        owner: Owner,
        index: int,
    ) -> None:
        """Take an existing marked ``folder``; ``told`` are the agent's facts."""
        self.link = link
        self.address = address
        self.owner = owner
        self.index = index
        self.python = str(told["python"])
        self.folder = folder
        self._machine = facts.as_machine(told)
        self._numbers = itertools.count(1)
        self._names: set[str] = set()
        self._outputs: list[str] = []
        self._temporary = str(folder / "tmp")

    @property
    def name(self) -> str:
        """The address as the study writes it."""
        return self.link.address.name

    @property
    def marks(self) -> dict[str, str]:
        """The environment by which this host's processes are known."""
        return {processes.OWNER: owner_value(self.owner), processes.HOST: str(self.index)}

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
        found = self.link.call("package", name=name)
        return Path(found) if found is not None else None

    def variable(self, name: str) -> str | None:
        """Return an environment variable as a login by SSH has it."""
        code, text = self.run(["printenv", name])
        return text.rstrip("\n") if code == 0 else None

    def ask(self, url: str) -> str | None:
        """Return the body of an HTTP answer as the host gets it."""
        answer: str | None = self.link.call("ask", url=url)
        return answer

    def limit(self, shape: Shape) -> None:
        """Refuse a CPU limit: it cannot be held over SSH."""
        if shape.cpu_limit is not None:
            raise LaunchFailed(
                f"cpu_limit = {shape.cpu_limit:g} cannot be held on host {self.name}",
                remedy="drop cpu_limit",
            )

    def put(self, source: Path, path: str) -> Path:
        """Copy a file to ``path`` below the host's folder."""
        target = self.folder / path
        if ".." in target.parts or not target.is_relative_to(self.folder):
            raise LaunchFailed(f"{path!r} leaves the host's folder", remedy="use a path below it")
        write(self.link, source.read_bytes(), str(target))
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
        process = self._start(name, argv, env, self.marks)
        self._outputs.append(str(process.output))
        return process

    def beside(self, name: str, argv: Sequence[str]) -> SshProcess:
        """Start a process that is not the host's work: its CPU time is nobody's."""
        return self._start(name, argv, {}, {processes.OWNER: owner_value(self.owner)})

    def _start(
        self, name: str, argv: Sequence[str], env: Mapping[str, str], marks: Mapping[str, str]
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
                "spawn", argv=list(argv), env=full, cwd=str(self.folder), output=str(output)
            )
        except OSError as error:
            what = f"{Path(argv[0]).name} did not start on host {self.name}: {error.strerror}"
            raise LaunchFailed(what) from error
        return SshProcess(self.link, known, output, mark)

    def cpu_seconds(self) -> float | None:
        """Return the CPU time of living processes and ended ones; None on a lost host."""
        if not self._outputs:
            return None
        try:
            return float(self.link.call("cpu", marks=self.marks, outputs=self._outputs))
        except HostLost:
            return None

    def close(self) -> None:
        """End its processes and remove its folder; on a lost host both stay, marked."""
        with contextlib.suppress(HostLost):
            end(self.link, self.marks)
            self.link.call("remove", path=str(self.folder))

    def leave(self) -> None:
        """Remove the marked folder when no other host of the owner is in it."""
        with contextlib.suppress(HostLost):
            self.link.call("vacate", path=str(self.folder.parent))


def end(link: Link, marks: Mapping[str, str]) -> None:
    """End all that carries the marks over there; LaunchFailed names what would not die."""
    left = link.call("end", marks=dict(marks), timeout=agent.LIMIT + 15)
    if left:
        raise LaunchFailed(
            f"host {link.address.name}: {len(left)} processes did not end within"
            f" {agent.LIMIT:g} s of SIGKILL",
            remedy="look at them with ps; one in state D waits for a disk or network share",
        )


def write(link: Link, data: bytes, path: str) -> None:
    """Write a file over there, in pieces that can be repeated."""
    for offset in range(0, max(1, len(data)), PIECE):
        piece = base64.b64encode(data[offset : offset + PIECE]).decode("ascii")
        try:
            link.call("write", path=path, data=piece, offset=offset)
        except OSError as error:
            what = f"host {link.address.name}: {Path(path).name} cannot be written"
            remedy = "free space there, or say another folder"
            raise LaunchFailed(f"{what}: {error.strerror}", remedy=remedy) from error


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
