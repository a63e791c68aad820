"""Spark applications made by hand: jobs, Spark stages and tasks in a few words -> SparkLog.

A small list scheduler plays Spark's FIFO scheduler: jobs one after the other, the stages of a
job as soon as their parents are done, each task to the slot that is free first.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from bench.records.spark_log import EXECUTORS, JOBS, STAGES, TASKS, SparkLog

EPOCH = 1_700_000_000.0
NAN = math.nan


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task attempt; all times are durations in seconds, sizes bytes.

    On its slot it takes delay (half before it runs, half after) + deserialize + run + serialize
    + fetch_result. cpu, gc, fetch_wait and shuffle_write_time lie within run; cpu=None is run
    less the three of them.
    """

    run: float = 1.0
    cpu: float | None = None
    delay: float = 0.0
    deserialize: float = 0.0
    serialize: float = 0.0
    fetch_result: float = 0.0
    gc: float = 0.0
    fetch_wait: float = 0.0
    shuffle_write_time: float = 0.0
    shuffle_read: float = 0.0
    shuffle_write: float = 0.0
    spill_memory: float = 0.0
    spill_disk: float = 0.0
    input: float = 0.0
    failed: bool = False
    speculative: bool = False

    @property
    def wall(self) -> float:
        """Seconds on the slot."""
        return self.delay + self.deserialize + self.run + self.serialize + self.fetch_result


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A Spark stage; parents are positions in the same job, delay is before its first task."""

    tasks: Sequence[Task]
    parents: Sequence[int] = ()
    delay: float = 0.0
    name: str = "stage"
    python: bool = False


@dataclass(frozen=True, kw_only=True)
class Job:
    """A Spark job, submitted ``pause`` seconds after the one before it (or the start) is done."""

    stages: Sequence[Stage]
    pause: float = 0.0


@dataclass
class _Tables:
    tasks: list[dict[str, Any]] = field(default_factory=list)
    stages: list[dict[str, Any]] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)


def even(count: int, **task: Any) -> list[Task]:
    """Return so many equal tasks."""
    return [Task(**task)] * count


def frame(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    """Return rows as a table of the contract (bench/sparklog.py), also where there are none."""
    lists = {name: [row[name] for row in rows] for name in columns}
    return pd.DataFrame({name: pd.Series(lists[name], dtype=columns[name]) for name in columns})


def build(
    jobs: Sequence[Job],
    *,
    executors: int = 1,
    cores: int = 1,
    startup: float = 0.0,
    shutdown: float = 0.0,
    version: str = "4.1.4",
    conf: Mapping[str, str] | None = None,
) -> SparkLog:
    """Return the log of jobs run one after the other on executors x cores slots.

    startup: s from the application's begin until its executors register; shutdown: s from the
    last job's end to the application's.
    """
    slots = [(EPOCH + startup, number) for number in range(executors * cores)]
    heapq.heapify(slots)
    tables = _Tables()
    now = EPOCH + startup
    for job in jobs:
        now = _job(job, now + job.pause, slots, cores, tables)
    rows = [_executor(number, cores, EPOCH + startup) for number in range(executors)]
    return SparkLog(
        version=version,
        begin=EPOCH,
        end=now + shutdown,
        conf=dict(conf or {}),
        tasks=frame(tables.tasks, TASKS),
        stages=frame(tables.stages, STAGES),
        jobs=frame(tables.jobs, JOBS),
        executors=frame(rows, EXECUTORS),
        events=2 * len(tables.tasks) + 2 * len(tables.stages) + 2 * len(tables.jobs) + 4,
    )


def _executor(number: int, cores: int, added: float) -> dict[str, Any]:
    row = dict.fromkeys(EXECUTORS, NAN) | {"executor": str(number), "cores": cores}
    return row | {"added": added, "reason": ""}


def _job(
    job: Job, begin: float, slots: list[tuple[float, int]], cores: int, tables: _Tables
) -> float:
    """Schedule one job; return when it is done. A stage waits for all tasks of its parents."""
    first = len(tables.stages)
    done: list[float] = []
    for position, stage in enumerate(job.stages):
        submitted = max([begin, *(done[parent] for parent in stage.parents)])
        number = first + position
        completed = submitted + stage.delay
        for index, task in enumerate(stage.tasks):
            free, slot = heapq.heappop(slots)
            launch = max(free, submitted + stage.delay)
            row = _task(task, launch, len(tables.tasks), number, index)
            row["executor"] = str(slot // cores)
            tables.tasks.append(row)
            heapq.heappush(slots, (row["finish"], slot))
            completed = max(completed, row["finish"])
        done.append(completed)
        tables.stages.append(
            {
                "stage": number,
                "stage_attempt": 0,
                "name": stage.name,
                "tasks": len(stage.tasks),
                "parents": tuple(first + parent for parent in stage.parents),
                "job": len(tables.jobs),
                "submitted": submitted,
                "completed": completed,
                "failure": "",
                "python": stage.python,
            }
        )
    end = max([begin, *done])
    numbers = tuple(range(first, first + len(job.stages)))
    tables.jobs.append(
        {
            "job": len(tables.jobs),
            "submitted": begin,
            "completed": end,
            "stages": numbers,
            "failed": False,
        }
    )
    return end


def _task(task: Task, launch: float, number: int, stage: int, index: int) -> dict[str, Any]:
    finish = launch + task.wall
    named = {name: getattr(task, name) for name in TASKS if hasattr(task, name)}
    known = task.gc + task.fetch_wait + task.shuffle_write_time
    return named | {
        "stage": stage,
        "stage_attempt": 0,
        "task": number,
        "index": index,
        "attempt": 0,
        "locality": "PROCESS_LOCAL",
        "launch": launch,
        "finish": finish,
        "getting_result": finish - task.fetch_result if task.fetch_result else NAN,
        "cpu": max(0.0, task.run - known) if task.cpu is None else task.cpu,
        "deserialize_cpu": task.deserialize,
        "result": 0.0,
        "peak_memory": 0.0,
    }


def with_straggler(tasks: Sequence[Task], times: float, at: int = -1) -> list[Task]:
    """Return the tasks, the one at a position so many times as long in run and CPU."""
    changed = list(tasks)
    slow = changed[at]
    cpu = None if slow.cpu is None else slow.cpu * times
    changed[at] = replace(slow, run=slow.run * times, cpu=cpu)
    return changed
