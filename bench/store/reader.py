"""The reading side of a results folder."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bench.errors import StoreError
from bench.records.results import (
    SCHEMA,
    Bundle,
    ClusterLine,
    Line,
    Machine,
    Run,
    Session,
    Started,
    StoppedLine,
)


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


class _Head(msgspec.Struct):
    record: str = ""
    schema: int = 0


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
