"""Reads a Spark event log in one streaming pass into the tables of ``records.spark_log``.

It skips lines of unused events and decodes only the fields of ``spark_events``; memory holds one
line, one chunk and about 200 bytes for each task.
"""

from __future__ import annotations

import math
import re
import sys
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from bench.errors import TelemetryError
from bench.records.spark_log import EXECUTORS, JOBS, STAGES, TASKS, SparkLog
from bench.run_files import spark_events as fields
from bench.run_files.spark_log_source import Source

if TYPE_CHECKING:
    import pandas as pd

TRIED = ("3.5", "4.1", "4.3")  # versions with real logs in the tests
OLDEST = (3, 0)

_HEAD = b'{"Event":"'
_DECODERS = {name: msgspec.json.Decoder(kind) for name, kind in fields.EVENTS.items()}
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_FLOATS = tuple(TASKS)[tuple(TASKS).index("launch") :]


def read(path: Path) -> SparkLog:
    """Read a log: a file (plain, zstd or lz4) or a folder of rolled files (``eventlog_v2_*``).

    Of a log that is cut off or broken, the readable part is returned, and ``partial`` says why it
    is incomplete. TelemetryError: empty, not an event log, a Spark older than 3.0, another
    compression, or implausible line lengths or growth.
    """
    source = Source(path)
    reader = _Reader(path.name)
    for line in source.lines():
        if line:
            reader.add(line, source.whole_line)
    return reader.log(source.partial)


def _name_of(line: bytes) -> bytes | None:
    """Return the event's name, or None for a line that is no event."""
    if line.startswith(_HEAD):
        return line[len(_HEAD) : line.find(b'"', len(_HEAD), 200)]
    if not line.startswith(b"{"):
        return None
    _, key, rest = line[:200].partition(b'"Event"')
    parts = rest.split(b'"', 2)
    return parts[1] if key and len(parts) > 2 and parts[0].strip() == b":" else None


@dataclass
class _Tasks:
    """Growing columns of the task table; the floats of a task are side by side."""

    whole: array[int] = field(default_factory=lambda: array("q"))
    figures: array[float] = field(default_factory=lambda: array("d"))
    executor: list[str] = field(default_factory=list)
    locality: list[str] = field(default_factory=list)
    flags: bytearray = field(default_factory=bytearray)

    def add(self, event: fields.TaskEnd) -> None:
        info = event.info
        self.whole.extend(
            (event.stage, event.stage_attempt, info.task, info.index, max(info.attempt, 0))
        )
        self.figures.extend(fields.task_figures(event))
        self.executor.append(sys.intern(info.executor))
        self.locality.append(sys.intern(info.locality))
        self.flags.append(info.speculative + 2 * (info.failed or info.killed))

    def table(self) -> pd.DataFrame:
        import numpy as np
        import pandas as pd

        whole = np.frombuffer(self.whole, dtype=np.int64).reshape(-1, 5)
        figures = np.frombuffer(self.figures, dtype=np.float64).reshape(-1, len(_FLOATS))
        flags = np.frombuffer(self.flags, dtype=np.uint8)
        columns: dict[str, Any] = {
            name: whole[:, number] for number, name in enumerate(tuple(TASKS)[:5])
        }
        columns |= {"executor": self.executor, "locality": self.locality}
        columns |= {"speculative": flags & 1, "failed": flags & 2}
        columns |= {name: figures[:, number] for number, name in enumerate(_FLOATS)}
        return pd.DataFrame(
            {name: pd.Series(columns[name], dtype=kind) for name, kind in TASKS.items()}
        )


@dataclass
class _Reader:
    """Reads line by line; ``log`` returns the tables."""

    name: str
    version: str = ""
    begin: float = math.nan
    end: float = math.nan
    conf: Mapping[str, str] = field(default_factory=dict)
    events: int = 0
    unreadable: int = 0
    torn: bool = False
    tasks: _Tasks = field(default_factory=_Tasks)
    stages: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    jobs: dict[int, dict[str, Any]] = field(default_factory=dict)
    executors: dict[str, dict[str, Any]] = field(default_factory=dict)
    computed: set[int] = field(default_factory=set)  # cached RDDs that a stage has computed
    owners: dict[int, int] = field(default_factory=dict)  # stage -> the first job that has it

    def add(self, line: bytes, whole: bool) -> None:
        """Add one line; ``whole`` says whether it ended with a line feed."""
        name = _name_of(line)
        if not self.events and not self.unreadable and name is None:
            self._foreign()
        decoder = None if name is None else _DECODERS.get(name)
        if name is None or not (whole or line.rstrip().endswith(b"}")):
            self._cannot(whole)
        elif decoder is None:
            self.events += 1
        else:
            try:
                event = decoder.decode(line)
            except _UNREADABLE:
                self._cannot(whole)
                return
            self.events += 1
            _HANDLERS[name](self, event)

    def _cannot(self, whole: bool) -> None:
        self.unreadable += whole
        self.torn = self.torn or not whole

    def _foreign(self) -> NoReturn:
        raise TelemetryError(
            f"{self.name} is not a Spark event log: its first line is not an event",
            remedy="give the file that Spark wrote with spark.eventLog.enabled=true",
        )

    def log_start(self, event: fields.LogStart) -> None:
        numbers = _numbers(event.version)
        if numbers is None or numbers < OLDEST:
            raise TelemetryError(
                f"{self.name} was written by Spark {event.version}: "
                f"logs of 3.0 and later are supported ({', '.join(TRIED)} are tested)",
                remedy="run the job on a newer Spark",
            )
        self.version = event.version

    def start(self, event: fields.Application) -> None:
        self.begin = event.time / 1e3

    def stop(self, event: fields.Application) -> None:
        self.end = event.time / 1e3

    def environment(self, event: fields.Environment) -> None:
        self.conf = event.spark

    def _executor(self, name: str) -> dict[str, Any]:
        absent = dict.fromkeys(EXECUTORS, math.nan) | {"executor": name, "cores": 0, "reason": ""}
        return self.executors.setdefault(name, absent)

    def added(self, event: fields.ExecutorAdded) -> None:
        row = self._executor(event.executor)
        row.update(added=event.time / 1e3, cores=event.info.cores)

    def removed(self, event: fields.ExecutorRemoved) -> None:
        self._executor(event.executor).update(removed=event.time / 1e3, reason=event.reason)

    def stage_memory(self, event: fields.StageMemory) -> None:
        self._peaks(event.executor, event.memory)

    def _peaks(self, executor: str, memory: fields.Memory) -> None:
        row = self._executor(executor)
        row["peak_heap"] = _larger(row["peak_heap"], memory.heap)
        row["peak_process"] = _larger(row["peak_process"], memory.resident)

    def submitted(self, event: fields.StageEvent) -> None:
        """Add a submitted stage; now the cached ones of its RDDs are known."""
        self._stage(event.info, fields.runs_python(event.info.rdds, self.computed))

    def completed(self, event: fields.StageEvent) -> None:
        """Add a completed stage; its event repeats the submission's fields."""
        info = event.info
        row = self.stages.get((info.stage, info.attempt))
        python = fields.runs_python(info.rdds, self.computed) if row is None else row["python"]
        self._stage(info, python)
        if not info.failure:
            self.computed.update(rdd.rdd for rdd in info.rdds if rdd.cached)

    def unpersisted(self, event: fields.Unpersisted) -> None:
        self.computed.discard(event.rdd)

    def _stage(self, info: fields.StageInfo, python: bool) -> None:
        self.stages[info.stage, info.attempt] = {
            "stage": info.stage,
            "stage_attempt": info.attempt,
            "name": info.name,
            "tasks": info.tasks,
            "parents": info.parents,
            "job": self.owners.get(info.stage, -1),
            "submitted": fields.scaled(info.submitted, 1e-3),
            "completed": fields.scaled(info.completed, 1e-3),
            "failure": info.failure,
            "python": python,
        }

    def job_start(self, event: fields.JobStart) -> None:
        for stage in event.stages:
            self.owners.setdefault(stage, event.job)
        self.jobs[event.job] = {
            "job": event.job,
            "submitted": event.time / 1e3,
            "completed": math.nan,
            "stages": event.stages,
            "failed": False,
        }

    def job_end(self, event: fields.JobEnd) -> None:
        row = self.jobs.get(event.job)
        if row is not None:
            row["completed"] = event.time / 1e3
            row["failed"] = event.result.result != "JobSucceeded"

    def task(self, event: fields.TaskEnd) -> None:
        self.tasks.add(event)
        if event.memory is not None:
            self._peaks(event.info.executor, event.memory)

    def log(self, partial: list[str]) -> SparkLog:
        """Return the tables read so far."""
        if not self.events:
            why = f": {partial[0]}" if partial else ""
            raise TelemetryError(
                f"{self.name} is empty or holds no whole event{why}",
                remedy="give the event log of an application that has started",
            )
        stages = [row for row in self.stages.values() if not math.isnan(row["submitted"])]
        return SparkLog(
            version=self.version,
            begin=self.begin,
            end=self.end,
            conf=self.conf,
            tasks=self.tasks.table(),
            stages=_table(stages, STAGES),
            jobs=_table(self.jobs.values(), JOBS),
            executors=_table(self.executors.values(), EXECUTORS),
            events=self.events,
            partial="; ".join(partial + self._faults()),
            notes=self._notes(),
        )

    def _faults(self) -> list[str]:
        faults = []
        if self.torn:
            faults.append("the last line is torn")
        if self.unreadable:
            faults.append(f"{self.unreadable} lines inside could not be read")
        if math.isnan(self.end):
            faults.append("the application's end is missing")
        if not self.version:
            faults.append("the log's beginning with Spark's version is missing")
        return faults

    def _notes(self) -> tuple[str, ...]:
        short = ".".join(self.version.split(".")[:2])
        if not self.version or short in TRIED:
            return ()
        return (f"logs of Spark {short} are not tested, only those of {', '.join(TRIED)}",)


_HANDLERS: Mapping[bytes, Callable[[_Reader, Any], None]] = {
    b"SparkListenerLogStart": _Reader.log_start,
    b"SparkListenerApplicationStart": _Reader.start,
    b"SparkListenerApplicationEnd": _Reader.stop,
    b"SparkListenerEnvironmentUpdate": _Reader.environment,
    b"SparkListenerExecutorAdded": _Reader.added,
    b"SparkListenerExecutorRemoved": _Reader.removed,
    b"SparkListenerStageExecutorMetrics": _Reader.stage_memory,
    b"SparkListenerStageSubmitted": _Reader.submitted,
    b"SparkListenerStageCompleted": _Reader.completed,
    b"SparkListenerUnpersistRDD": _Reader.unpersisted,
    b"SparkListenerJobStart": _Reader.job_start,
    b"SparkListenerJobEnd": _Reader.job_end,
    b"SparkListenerTaskEnd": _Reader.task,
}


def _numbers(version: str) -> tuple[int, int] | None:
    match = re.match(r"(\d{1,4})\.(\d{1,4})(\D|$)", version, re.ASCII)
    return (int(match[1]), int(match[2])) if match else None


def _larger(largest: float, value: float) -> float:
    """Return the larger figure; 0 means that the metric is off in Spark."""
    return largest if value <= 0 else value if math.isnan(largest) else max(largest, value)


def _table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    import pandas as pd

    records = list(rows)
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in records], dtype=columns[name]) for name in columns}
    )
