"""Reads a results folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import StoreError
from bench.records.results import (
    SCHEMA,
    Bundle,
    CaseLine,
    ClusterEvent,
    Line,
    Machine,
    Run,
    Session,
    Started,
    StoppedLine,
)
from bench.records.schema import upgraded
from bench.records.study import Case
from bench.text import plural


class Results(msgspec.Struct, kw_only=True):
    """The content of a results folder, in the order of its files."""

    sessions: dict[str, Session] = {}
    machines: dict[str, Machine] = {}
    bundles: dict[str, Bundle] = {}
    cases: dict[str, Case] = {}  # by digest
    clusters: list[ClusterEvent] = []
    lives: dict[tuple[str, str], ClusterEvent] = {}  # (session, cluster) -> its last line
    runs: list[Run] = []
    orphans: list[tuple[str, Started]] = []  # (session, started) without run or stopped
    ended: set[str] = set()  # runs that have a line ``run`` or ``stopped`` in any file
    warnings: list[str] = []

    def settle(self) -> None:
        """Sort the runs, and drop orphans whose run ended in another file."""
        self.runs.sort(key=lambda run: run.run)
        self.orphans = [(of, line) for of, line in self.orphans if line.run not in self.ended]

    def of_campaign(self, campaign: str) -> list[Run]:
        """Return the runs of one campaign."""
        return [run for run in self.runs if self.sessions[run.session].campaign == campaign]

    @property
    def latest(self) -> Session | None:
        """Return the session that started last."""
        return max(self.sessions.values(), key=lambda session: session.started_at, default=None)


class _Head(msgspec.Struct):
    record: str = ""
    schema: int = 0


_REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()
_CONTROL_BYTES = re.compile(rb"\xc2[\x80-\x9f]|\x7f")
_ESCAPES = re.compile(rb"\\(?:\\|u00(?:[01][0-9a-fA-F]|7[fF]|[89][0-9a-fA-F]))")
_lines = msgspec.json.Decoder(Line)
_raw = msgspec.json.Decoder(dict[str, Any])
_head = msgspec.json.Decoder(_Head)


def _read_file(path: Path, results: Results) -> None:
    lines = path.read_bytes().split(b"\n")
    torn = lines.pop()
    if torn:
        results.warnings.append(f"{path.name}: its last line is torn and was skipped")
    if not lines:
        return
    head = _check_head(path, lines[0])
    reader = _Reader(results)
    number = 0

    def counted() -> Iterator[bytes]:
        nonlocal number
        for text in lines:
            number += 1
            yield _printable(text)

    try:
        for line in _decoded(counted(), head.schema):
            reader.add(line)
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # msgspec's among them
        raise StoreError(
            f"{path.name}: line {number} cannot be read ({error})",
            remedy="move the file out of the results folder, or fix the line",
        ) from error
    if reader.repeated:
        results.warnings.append(
            f"{path.name}: {plural(reader.repeated, 'run')} in it also in a file before it;"
            " each counts once"
        )
    results.orphans.extend((reader.session, started) for started in reader.starts.values())


def _printable(text: bytes) -> bytes:
    """Replace control characters, which would reach terminals and pages; line breaks stay."""
    if b"\\u00" not in text and _CONTROL_BYTES.search(text) is None:
        return text
    text = _CONTROL_BYTES.sub(_REPLACEMENT, text)
    return _ESCAPES.sub(lambda match: match[0] if match[0] == b"\\\\" else _REPLACEMENT, text)


def _decoded(texts: Iterator[bytes], schema: int) -> Iterator[Line]:
    """Yield the lines of a file, upgraded from an older schema if necessary."""
    if schema == SCHEMA:
        yield from map(_lines.decode, texts)
    else:
        for raw in upgraded(map(_raw.decode, texts), schema):
            yield msgspec.convert(raw, Line)


class _Reader:
    """Sorts one file's lines into the results; ``starts`` are runs without an end so far."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self.session = ""
        self.starts: dict[str, Started] = {}
        self.repeated = 0  # lines of runs that were read before

    def add(self, line: Line) -> None:
        """Sort in one line."""
        match line:
            case Run() | StoppedLine():
                self.starts.pop(line.run, None)
                self._end(line)
            case Started():
                self.starts[line.run] = line
            case ClusterEvent():
                self._results.clusters.append(line)
                self._results.lives[self.session, line.cluster] = line
            case Machine():
                self._results.machines[line.digest] = line
            case Bundle():
                self._results.bundles[line.digest] = line
            case CaseLine():
                self._results.cases[line.digest] = line.case
            case Session():
                self.session = line.session
                self._results.sessions[line.session] = line

    def _end(self, line: Run | StoppedLine) -> None:
        """Take a run once, also where a file was copied beside itself."""
        if line.run in self._results.ended:
            self.repeated += 1
            return
        self._results.ended.add(line.run)
        if isinstance(line, Run):
            self._results.runs.append(line)


def _check_head(path: Path, text: bytes) -> _Head:
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
    return head
