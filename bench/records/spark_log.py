"""The tables of one Spark application, read from its event log.

Times are seconds since the epoch, durations seconds, sizes bytes; a figure that the log does not
have is NaN (a text: empty), never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

FILE = "spark-events.zstd"  # its name in a run's folder

# Columns of ``SparkLog.tasks``, a row for each ended task attempt, and their types.
TASKS: Mapping[str, str] = {
    "stage": "int64",
    "stage_attempt": "int64",
    "task": "int64",  # unique in the application
    "index": "int64",  # the partition's position in its stage
    "attempt": "int64",
    "executor": "str",
    "locality": "str",  # PROCESS_LOCAL, NODE_LOCAL, NO_PREF, RACK_LOCAL, ANY
    "speculative": "bool",
    "failed": "bool",  # failed or killed
    "launch": "float64",
    "finish": "float64",
    "getting_result": "float64",  # when the driver began to fetch a big result; NaN: it never did
    "run": "float64",  # Executor Run Time
    "cpu": "float64",  # Executor CPU Time
    "deserialize": "float64",
    "deserialize_cpu": "float64",
    "serialize": "float64",  # Result Serialization Time
    "gc": "float64",
    "fetch_wait": "float64",
    "shuffle_write_time": "float64",
    "shuffle_read": "float64",  # bytes, local and remote
    "shuffle_write": "float64",
    "spill_memory": "float64",
    "spill_disk": "float64",
    "input": "float64",  # bytes
    "result": "float64",  # bytes
    "peak_memory": "float64",
}

# A row for each Spark-stage attempt that was submitted.
STAGES: Mapping[str, str] = {
    "stage": "int64",
    "stage_attempt": "int64",
    "name": "str",
    "tasks": "int64",
    "parents": "object",  # tuple of stage ids
    "job": "int64",  # the first job that has it; -1: none
    "submitted": "float64",
    "completed": "float64",
    "failure": "str",
    "python": "bool",  # Python workers may run beside the JVM: their CPU is in no task's figure
}

JOBS: Mapping[str, str] = {
    "job": "int64",
    "submitted": "float64",
    "completed": "float64",
    "stages": "object",  # tuple of stage ids
    "failed": "bool",
}

EXECUTORS: Mapping[str, str] = {
    "executor": "str",
    "cores": "int64",
    "added": "float64",
    "removed": "float64",
    "reason": "str",
    "peak_heap": "float64",  # bytes, largest value any event reports
    "peak_process": "float64",  # resident bytes of the JVM, where process metrics are on
}


@dataclass(frozen=True, kw_only=True)
class SparkLog:
    """One application's event log; ``partial`` says why it is incomplete, or is empty."""

    version: str  # Spark's
    begin: float
    end: float  # NaN where the application's end is missing
    conf: Mapping[str, str]
    tasks: pd.DataFrame  # columns as TASKS
    stages: pd.DataFrame  # columns as STAGES
    jobs: pd.DataFrame  # columns as JOBS
    executors: pd.DataFrame  # columns as EXECUTORS
    events: int
    partial: str = ""
    notes: tuple[str, ...] = field(default=())
