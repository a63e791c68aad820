"""Reads the ``:::BENCH`` lines of a workload's log and checks that they are complete.

A log is complete when its sequence numbers have no gap, every line carries the run's nonce, and
it ends with ``end`` (or with ``error``, a failure with its reason). Lines may be anywhere in a
line of other text, and may be repeated.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from bench.records.results import Figure, Histogram, Measurement, Quality, StageTime

PREFIX = b":::BENCH "
MAX_LINE = 4000


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log; the fields after ``event`` depend on it."""

    v: int
    run: str
    seq: int
    mono_ns: int
    wall_ns: int
    event: str
    rank: int = 0
    workers: int | None = None
    name: str | None = None
    number: int | None = msgspec.field(default=None, name="pass")
    seconds: float | None = None
    cpu_seconds: float | None = None
    metric: str | None = None
    unit: str = ""
    value: float | None = None
    values: tuple[float, ...] = ()
    histogram: Histogram | None = None
    item: str | int | None = None
    role: str = ""
    digest: str | None = None
    sha256: str | None = None
    path: str | None = None
    versions: Mapping[str, str] = {}
    figures: Mapping[str, Figure] = {}
    precision: str = "float64"
    type: str | None = None
    message: str | None = None


class Log(msgspec.Struct, kw_only=True):
    """The content of one rank's log; ``fault`` is empty if it is complete and without an error.

    ``work`` is ready -> end and ``passes`` the wall seconds of each pass, by the monotonic clock
    of the rank; ``window`` is ready and end by its wall clock (s since the epoch).
    """

    fault: str = ""
    workers: int | None = None
    work: float | None = None
    window: tuple[float, float] | None = None
    passes: tuple[float, ...] = ()
    stages: tuple[StageTime, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    quality: Quality | None = None
    datasets: Mapping[str, str] = {}  # by role, the digest of the data as read
    versions: Mapping[str, str] = {}
    artefacts: Mapping[str, str] = {}

    def total(self, metric: str) -> float | None:
        """Return the sum of a metric over all passes, None if it was not reported."""
        values = [
            value
            for measurement in self.measurements
            if measurement.metric == metric
            for value in measurement.values
        ]
        return sum(values) if values else None


Events = Iterable[tuple[float, str, Mapping[str, object]]]
_decoder = msgspec.json.Decoder(Event)


def event_of(line: bytes) -> Event | None:
    """Return the event in a line, or None if there is no readable one."""
    start = line.find(PREFIX)
    if start < 0:
        return None
    text = line[start + len(PREFIX) : start + MAX_LINE].strip()
    end = text.rfind(b"}")
    try:
        return _decoder.decode(text[: end + 1])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def read(path: Path, nonce: str) -> Log:
    """Read a rank's log file; a missing file is a fault, not an error."""
    try:
        with path.open("rb") as lines:
            return parse(lines, nonce)
    except FileNotFoundError:
        return Log(fault="log incomplete: no log came back")


def parse(lines: Iterable[bytes], nonce: str) -> Log:
    """Read lines and check them; the module's text defines completeness."""
    events: dict[int, Event] = {}
    foreign = broken = 0
    for line in lines:
        event = event_of(line)
        if event is None:
            broken += PREFIX in line
        elif event.run != nonce:
            foreign += 1
        else:
            events.setdefault(event.seq, event)
    ordered = [events[number] for number in sorted(events)]
    log = _facts(ordered)
    log.fault = _fault(ordered, foreign, broken)
    return log


def _fault(events: list[Event], foreign: int, broken: int) -> str:
    errors = [event for event in events if event.event == "error"]
    if errors:
        return f"{errors[0].type or 'error'}: {errors[0].message or 'no message'}"
    if foreign:
        return f"log incomplete: {foreign} lines of another run"
    if not events:
        return "log incomplete: the workload wrote no line"
    missing = events[-1].seq + 1 - len(events)
    if missing:
        lost = f"{missing} lines missing" + (f", {broken} unreadable" if broken else "")
        return f"log incomplete: {lost}"
    if events[-1].event != "end":
        return f"log incomplete: it stops after '{_label(events[-1])}'"
    if not any(event.event == "ready" for event in events):
        return "log incomplete: the workload never reported ready"
    return ""


def _label(event: Event) -> str:
    return f"{event.event} {event.name}" if event.name else event.event


def _facts(events: list[Event]) -> Log:
    kinds: dict[str, list[Event]] = {}
    versions: dict[str, str] = {}
    for event in events:
        kinds.setdefault(event.event, []).append(event)
        versions.update(event.versions)
    ready, end = (kinds.get(name, [None])[-1] for name in ("ready", "end"))
    quality = [_quality(event) for event in kinds.get("quality", [])]
    return Log(
        workers=ready.workers if ready else None,
        work=(end.mono_ns - ready.mono_ns) / 1e9 if ready and end else None,
        window=(ready.wall_ns / 1e9, end.wall_ns / 1e9) if ready and end else None,
        passes=_passes(events),
        stages=tuple(_stage(event) for event in kinds.get("stage", [])),
        measurements=tuple(_measurement(event) for event in kinds.get("measure", [])),
        quality=quality[-1] if quality else None,
        datasets={e.role: e.digest for e in kinds.get("dataset", []) if e.digest},
        versions=versions,
        artefacts={e.name or "": e.sha256 or "" for e in kinds.get("artefact", [])},
    )


def _passes(events: list[Event]) -> tuple[float, ...]:
    """Return the seconds of each pass: from its start to the end of its last stage."""
    begun: dict[int, int] = {}
    ended: dict[int, int] = {}
    for event in events:
        number = event.number
        if number is None:
            continue
        if event.event == "pass":
            begun[number] = event.mono_ns
        elif event.event == "stage":
            ended[number] = event.mono_ns
    both = [number for number in sorted(begun) if number in ended]
    return tuple((ended[number] - begun[number]) / 1e9 for number in both)


def _stage(event: Event) -> StageTime:
    return StageTime(
        name=event.name or "",
        number=event.number or 0,
        wall=event.seconds or 0.0,
        driver_cpu=event.cpu_seconds,
    )


def _measurement(event: Event) -> Measurement:
    return Measurement(
        metric=event.metric or "",
        unit=event.unit,
        values=event.values if event.value is None else (event.value,),
        histogram=event.histogram,
        number=event.number,
        item=None if event.item is None else str(event.item),
    )


def _quality(event: Event) -> Quality:
    return Quality(figures=event.figures, precision=event.precision)


def lines(nonce: str, events: Events) -> Iterator[str]:
    """Yield the lines of a log that ``parse`` reads, for simulated or imported runs.

    Each event is its seconds after the one before, its name and its fields.
    """
    mono, wall = time.monotonic_ns(), time.time_ns()
    for seq, (later, name, fields) in enumerate(events):
        mono, wall = mono + int(later * 1e9), wall + int(later * 1e9)
        head = {"v": 1, "run": nonce, "seq": seq, "mono_ns": mono, "wall_ns": wall, "event": name}
        yield f"{PREFIX.decode()}{json.dumps({**head, **fields})}\n"
