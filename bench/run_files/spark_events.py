"""The fields of Spark's event log that Benchcast reads; decoding skips all others.

Names and units are those of Spark's JsonProtocol (core, org.apache.spark.util): times in
milliseconds, CPU and shuffle write time in nanoseconds, sizes in bytes. A field that a version of
Spark does not write, or a failed task does not have, stays None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import msgspec

NAN = math.nan
Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]  # fits a column


class LogStart(msgspec.Struct, frozen=True):
    """The first event: which Spark wrote the log."""

    version: str = msgspec.field(name="Spark Version")


class Application(msgspec.Struct, frozen=True):
    """The application's start or end."""

    time: float = msgspec.field(name="Timestamp")


class Environment(msgspec.Struct, frozen=True):
    """The configuration that was in force."""

    spark: Mapping[str, str] = msgspec.field(name="Spark Properties", default_factory=dict)


class ExecutorInfo(msgspec.Struct, frozen=True):
    """An executor's size."""

    cores: Whole = msgspec.field(name="Total Cores")


class ExecutorAdded(msgspec.Struct, frozen=True):
    """An executor registered."""

    time: float = msgspec.field(name="Timestamp")
    executor: str = msgspec.field(name="Executor ID")
    info: ExecutorInfo = msgspec.field(name="Executor Info")


class ExecutorRemoved(msgspec.Struct, frozen=True):
    """An executor was lost or let go."""

    time: float = msgspec.field(name="Timestamp")
    executor: str = msgspec.field(name="Executor ID")
    reason: str = msgspec.field(name="Removed Reason", default="")


class Memory(msgspec.Struct, frozen=True):
    """Peaks of an executor's memory (bytes); 0 where the metric is off."""

    heap: float = msgspec.field(name="JVMHeapMemory", default=0.0)
    resident: float = msgspec.field(name="ProcessTreeJVMRSSMemory", default=0.0)


class StageMemory(msgspec.Struct, frozen=True):
    """An executor's peaks during one Spark stage."""

    executor: str = msgspec.field(name="Executor ID")
    memory: Memory = msgspec.field(name="Executor Metrics")


class Level(msgspec.Struct, frozen=True):
    """Where an RDD is cached, if it is."""

    disk: bool = msgspec.field(name="Use Disk", default=False)
    memory: bool = msgspec.field(name="Use Memory", default=False)


class Rdd(msgspec.Struct, frozen=True):
    """One RDD of a Spark stage, with its SQL operator."""

    rdd: Whole = msgspec.field(name="RDD ID", default=-1)
    name: str = msgspec.field(name="Name", default="")
    scope: str = msgspec.field(name="Scope", default="")
    parents: tuple[Whole, ...] = msgspec.field(name="Parent IDs", default=())
    level: Level = msgspec.field(name="Storage Level", default=Level())

    @property
    def cached(self) -> bool:
        """Whether it stays cached after it is computed."""
        return self.level.disk or self.level.memory

    @property
    def python(self) -> bool:
        """Whether it runs Python workers beside the JVM."""
        text = self.name + self.scope
        return any(word in text for word in ("Python", "InPandas", "InArrow"))


def runs_python(rdds: tuple[Rdd, ...], computed: set[int]) -> bool:
    """Return whether a stage of these RDDs runs Python workers.

    ``computed`` holds the cached RDDs that an earlier stage computed; their parents do not run
    again (unless blocks were evicted, which the log does not show).
    """
    by_id = {rdd.rdd: rdd for rdd in rdds}
    inner = {parent for rdd in rdds for parent in rdd.parents}
    todo = [number for number in by_id if number not in inner]
    seen: set[int] = set()
    while todo:
        rdd = by_id.get(todo.pop())
        if rdd is None or rdd.rdd in seen or rdd.rdd in computed:
            continue
        if rdd.python:
            return True
        seen.add(rdd.rdd)
        todo.extend(rdd.parents)
    return False


class StageInfo(msgspec.Struct, frozen=True):
    """A Spark stage's attempt."""

    stage: Whole = msgspec.field(name="Stage ID")
    attempt: Whole = msgspec.field(name="Stage Attempt ID", default=0)
    name: str = msgspec.field(name="Stage Name", default="")
    tasks: Whole = msgspec.field(name="Number of Tasks", default=0)
    parents: tuple[Whole, ...] = msgspec.field(name="Parent IDs", default=())
    rdds: tuple[Rdd, ...] = msgspec.field(name="RDD Info", default=())
    submitted: float | None = msgspec.field(name="Submission Time", default=None)
    completed: float | None = msgspec.field(name="Completion Time", default=None)
    failure: str = msgspec.field(name="Failure Reason", default="")


class Unpersisted(msgspec.Struct, frozen=True):
    """An RDD is no longer cached."""

    rdd: Whole = msgspec.field(name="RDD ID")


class StageEvent(msgspec.Struct, frozen=True):
    """A Spark stage was submitted or is complete."""

    info: StageInfo = msgspec.field(name="Stage Info")


class JobStart(msgspec.Struct, frozen=True):
    """A job was submitted."""

    job: Whole = msgspec.field(name="Job ID")
    time: float = msgspec.field(name="Submission Time")
    stages: tuple[Whole, ...] = msgspec.field(name="Stage IDs", default=())


class JobResult(msgspec.Struct, frozen=True):
    """How a job ended."""

    result: str = msgspec.field(name="Result")


class JobEnd(msgspec.Struct, frozen=True):
    """A job is complete."""

    job: Whole = msgspec.field(name="Job ID")
    time: float = msgspec.field(name="Completion Time")
    result: JobResult = msgspec.field(name="Job Result")


class TaskInfo(msgspec.Struct, frozen=True):
    """When and where a task attempt ran."""

    task: Whole = msgspec.field(name="Task ID")
    index: Whole = msgspec.field(name="Index")
    launch: float = msgspec.field(name="Launch Time")
    finish: float = msgspec.field(name="Finish Time")
    executor: str = msgspec.field(name="Executor ID")
    attempt: Whole = msgspec.field(name="Attempt", default=0)
    locality: str = msgspec.field(name="Locality", default="")
    speculative: bool = msgspec.field(name="Speculative", default=False)
    getting: float = msgspec.field(name="Getting Result Time", default=0.0)
    failed: bool = msgspec.field(name="Failed", default=False)
    killed: bool = msgspec.field(name="Killed", default=False)


class ShuffleRead(msgspec.Struct, frozen=True):
    """What a task read from a shuffle."""

    wait: float | None = msgspec.field(name="Fetch Wait Time", default=None)
    remote: float | None = msgspec.field(name="Remote Bytes Read", default=None)
    local: float | None = msgspec.field(name="Local Bytes Read", default=None)


class ShuffleWrite(msgspec.Struct, frozen=True):
    """What a task wrote for a shuffle."""

    size: float | None = msgspec.field(name="Shuffle Bytes Written", default=None)
    time: float | None = msgspec.field(name="Shuffle Write Time", default=None)


class Input(msgspec.Struct, frozen=True):
    """What a task read from storage."""

    size: float | None = msgspec.field(name="Bytes Read", default=None)


class Metrics(msgspec.Struct, frozen=True):
    """A task attempt's metrics; all None for one that failed before it reported."""

    run: float | None = msgspec.field(name="Executor Run Time", default=None)
    cpu: float | None = msgspec.field(name="Executor CPU Time", default=None)
    deserialize: float | None = msgspec.field(name="Executor Deserialize Time", default=None)
    deserialize_cpu: float | None = msgspec.field(
        name="Executor Deserialize CPU Time", default=None
    )
    serialize: float | None = msgspec.field(name="Result Serialization Time", default=None)
    gc: float | None = msgspec.field(name="JVM GC Time", default=None)
    result: float | None = msgspec.field(name="Result Size", default=None)
    spill_memory: float | None = msgspec.field(name="Memory Bytes Spilled", default=None)
    spill_disk: float | None = msgspec.field(name="Disk Bytes Spilled", default=None)
    peak: float | None = msgspec.field(name="Peak Execution Memory", default=None)
    read: ShuffleRead = msgspec.field(name="Shuffle Read Metrics", default=ShuffleRead())
    write: ShuffleWrite = msgspec.field(name="Shuffle Write Metrics", default=ShuffleWrite())
    input: Input = msgspec.field(name="Input Metrics", default=Input())


class TaskEnd(msgspec.Struct, frozen=True):
    """A task attempt ended."""

    stage: Whole = msgspec.field(name="Stage ID")
    info: TaskInfo = msgspec.field(name="Task Info")
    stage_attempt: Whole = msgspec.field(name="Stage Attempt ID", default=0)
    metrics: Metrics | None = msgspec.field(name="Task Metrics", default=None)
    memory: Memory | None = msgspec.field(name="Task Executor Metrics", default=None)


EVENTS: Mapping[bytes, type[msgspec.Struct]] = {
    b"SparkListenerLogStart": LogStart,
    b"SparkListenerApplicationStart": Application,
    b"SparkListenerApplicationEnd": Application,
    b"SparkListenerEnvironmentUpdate": Environment,
    b"SparkListenerExecutorAdded": ExecutorAdded,
    b"SparkListenerExecutorRemoved": ExecutorRemoved,
    b"SparkListenerStageExecutorMetrics": StageMemory,
    b"SparkListenerStageSubmitted": StageEvent,
    b"SparkListenerStageCompleted": StageEvent,
    b"SparkListenerUnpersistRDD": Unpersisted,
    b"SparkListenerJobStart": JobStart,
    b"SparkListenerJobEnd": JobEnd,
    b"SparkListenerTaskEnd": TaskEnd,
}


def scaled(value: float | None, unit: float = 1.0) -> float:
    """Return a figure in Benchcast's unit; NaN if the log does not have it."""
    return NAN if value is None else value * unit


def task_figures(event: TaskEnd) -> tuple[float, ...]:
    """Return the float columns of ``TASKS`` from ``launch`` on, in their order; s and bytes."""
    info, metrics = event.info, event.metrics or Metrics()
    both = (metrics.read.remote, metrics.read.local)
    read = NAN if None in both else sum(size or 0.0 for size in both)
    return (
        info.launch / 1e3,
        info.finish / 1e3,
        info.getting / 1e3 if info.getting else NAN,
        scaled(metrics.run, 1e-3),
        scaled(metrics.cpu, 1e-9),
        scaled(metrics.deserialize, 1e-3),
        scaled(metrics.deserialize_cpu, 1e-9),
        scaled(metrics.serialize, 1e-3),
        scaled(metrics.gc, 1e-3),
        scaled(metrics.read.wait, 1e-3),
        scaled(metrics.write.time, 1e-9),
        read,
        scaled(metrics.write.size),
        scaled(metrics.spill_memory),
        scaled(metrics.spill_disk),
        scaled(metrics.input.size),
        scaled(metrics.result),
        scaled(metrics.peak),
    )
