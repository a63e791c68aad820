"""Results on disk: one folder a study, one append-only file of tagged lines a session.

A line is fsynced before what it announces happens (``started``, a cluster's ``opening``) or after
what it tells is safe (``run``). What is bulky lies in a folder named by the run's id. Files of two
machines merge by copying. The folder needs no index: reading it is fast enough.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from bench.errors import StorageFailed, StoreError
from bench.model import (
    SCHEMA,
    Bundle,
    Cell,
    ClusterLine,
    Line,
    Machine,
    Run,
    Session,
    Started,
    StoppedLine,
)
from bench.places import FileLock


class Results(msgspec.Struct, kw_only=True):
    """Everything that a results folder holds, in the order of its files."""

    sessions: dict[str, Session] = {}
    machines: dict[str, Machine] = {}
    bundles: dict[str, Bundle] = {}
    clusters: list[ClusterLine] = []
    lives: dict[tuple[str, str], ClusterLine] = {}  # (session, cluster) -> its last line
    runs: list[Run] = []
    orphans: list[tuple[str, Started]] = []  # (session, started) without run or stopped
    warnings: list[str] = []

    def of_campaign(self, campaign: str) -> list[Run]:
        """Return the runs of one campaign."""
        return [run for run in self.runs if self.sessions[run.session].campaign == campaign]

    @property
    def latest(self) -> Session | None:
        """Return the session that started last."""
        return max(self.sessions.values(), key=lambda one: one.started_at, default=None)


class Store:
    """A study's results folder."""

    def __init__(self, root: Path) -> None:
        """``root`` is ``results/<study>``; it need not exist yet."""
        self.root = root

    def read(self) -> Results:
        """Read every session's file; StoreError for a newer schema or a spoilt line."""
        results = Results()
        enabled = gc.isenabled()
        gc.disable()  # millions of young objects, none of them garbage
        try:
            for path in sorted(self.root.glob("*.jsonl")):
                _read_file(path, results)
        finally:
            if enabled:
                gc.enable()
        results.runs.sort(key=lambda run: run.run)
        return results

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one ``run``; StoreError when another has it or it is read-only."""
        lock = FileLock(self.root / ".lock")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            taken = lock.acquire(timeout=0)
            probe = self.root / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"results folder {self.root} cannot be written ({error.strerror})",
                remedy="choose another with --results, or mend its permissions",
            ) from error
        if not taken:
            raise StoreError(
                f"another run works on {self.root}",
                remedy="wait for it, or choose another folder with --results",
            )
        try:
            yield
        finally:
            lock.release()

    def journal(self, session: Session) -> Journal:
        """Begin this session's file with its first line."""
        journal = Journal(self.root / f"{session.session}.jsonl")
        journal.write(session)
        return journal

    def folder(self, run: str) -> Path:
        """Return the place of a run's bulky things."""
        return self.root / run

    def partial(self, run: str) -> Path:
        """Create the folder that becomes the run's when it is whole."""
        folder = self.root / f".partial-{run}"
        with storage_errors(folder):
            folder.mkdir(parents=True)
        return folder

    def keep(self, run: str) -> None:
        """Fsync the partial folder and rename it into place."""
        partial = self.root / f".partial-{run}"
        with storage_errors(partial):
            for path in (*partial.rglob("*"), partial):
                _fsync(path)
            partial.rename(self.folder(run))
            _fsync(self.root)

    def discard(self, run: str) -> None:
        """Delete what a run left that never got its line."""
        for folder in self._folders(run):
            if folder.exists():
                shutil.rmtree(folder)

    def has_folder(self, run: str) -> bool:
        """Return whether a run left a folder, whole or not."""
        return any(folder.exists() for folder in self._folders(run))

    def _folders(self, run: str) -> tuple[Path, Path]:
        return self.root / f".partial-{run}", self.folder(run)


class Journal:
    """A session's file: whole lines, each on the disk when ``write`` returns."""

    def __init__(self, path: Path) -> None:
        """Create the file; it must not exist."""
        self.path = path
        with storage_errors(path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(path, flags, 0o644)
            _fsync(path.parent)
        self._known: set[str] = set()

    def write(self, line: Line) -> None:
        """Append one line; StorageFailed when the disk does not take it whole."""
        data = _encoder.encode(line) + b"\n"
        with storage_errors(self.path):
            written = os.write(self._fd, data)
            if written < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._fd)

    def once(self, line: Machine | Bundle) -> None:
        """Append a machine or a bundle, unless this file has it already."""
        if line.digest not in self._known:
            self._known.add(line.digest)
            self.write(line)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class Index:
    """Which cells are done: looked up, not searched."""

    def __init__(self, runs: Sequence[Run] = (), crashes: Sequence[str] = ()) -> None:
        """``crashes`` are the keys of starts whose harness died, one entry a start."""
        self._ok: dict[str, Run] = {}
        self._failed: defaultdict[str, int] = defaultdict(int)
        self._skipped: dict[str, str] = {}
        self._crashes: defaultdict[str, int] = defaultdict(int)
        for key in crashes:
            self._crashes[key] += 1
        for run in runs:
            self.add(run)

    def add(self, run: Run) -> None:
        """Count one more run."""
        key = run.cell.key
        if run.status == "ok":
            self._ok[key] = run
        elif run.status == "skipped":
            self._skipped[key] = run.session
        else:
            self._failed[key] += 1

    def ok(self, cell: Cell) -> bool:
        """Return whether the cell has a good run."""
        return cell.key in self._ok

    def run(self, cell: Cell) -> Run | None:
        """Return the cell's latest good run, or None."""
        return self._ok.get(cell.key)

    def attempts(self, cell: Cell) -> int:
        """Return how often it failed; two starts that took the harness down count as one."""
        return self._failed[cell.key] + self._crashes[cell.key] // 2

    def took_down(self, cell: Cell) -> bool:
        """Return whether it is given up because its starts took the harness down."""
        return self._crashes[cell.key] > 1 and cell.key not in self._ok

    def skipped(self, cell: Cell, session: str) -> bool:
        """Return whether it was skipped in this session."""
        return self._skipped.get(cell.key) == session


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's errors into StorageFailed."""
    try:
        yield
    except OSError as error:
        raise StorageFailed(
            f"{path.name}: results cannot be written ({error.strerror})",
            remedy="free space or mend the folder, then run again: it continues where it stopped",
        ) from error


class _Head(msgspec.Struct):
    record: str = ""
    schema: int = 0


_encoder = msgspec.json.Encoder()
_lines = msgspec.json.Decoder(Line)
_head = msgspec.json.Decoder(_Head)


def _read_file(path: Path, results: Results) -> None:
    lines = path.read_bytes().split(b"\n")
    torn = lines.pop()
    if torn:
        results.warnings.append(f"{path.name}: its last line is torn and was skipped")
    if not lines:
        return
    _check_head(path, lines[0])
    reader = _Reader(results)
    for number, text in enumerate(lines, start=1):
        try:
            reader.add(_lines.decode(text))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StoreError(
                f"{path.name}: line {number} cannot be read ({error})",
                remedy="move the file out of the results folder, or mend the line",
            ) from error
    results.orphans.extend((reader.session, started) for started in reader.starts.values())


class _Reader:
    """Sorts one file's lines into the results; ``starts`` are those without an end so far."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self.session = ""
        self.starts: dict[str, Started] = {}

    def add(self, line: Line) -> None:
        """Sort in one line."""
        match line:
            case Run() | StoppedLine():
                self.starts.pop(line.run, None)
                if isinstance(line, Run):
                    self._results.runs.append(line)
            case Started():
                self.starts[line.run] = line
            case ClusterLine():
                self._results.clusters.append(line)
                self._results.lives[self.session, line.cluster] = line
            case Machine():
                self._results.machines[line.digest] = line
            case Bundle():
                self._results.bundles[line.digest] = line
            case Session():
                self.session = line.session
                self._results.sessions[line.session] = line


def _check_head(path: Path, text: bytes) -> None:
    try:
        head = _head.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        head = _Head()
    if head.record != "session" or head.schema < 1:
        raise StoreError(
            f"{path.name} is not a results file: it does not begin with a session",
            remedy="move it out of the results folder",
        )
    if head.schema > SCHEMA:
        raise StoreError(
            f"{path.name} has schema {head.schema}, this benchcast reads up to {SCHEMA}",
            remedy="upgrade benchcast: pip install --upgrade benchcast",
        )


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
