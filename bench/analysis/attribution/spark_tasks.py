"""Where the slot-seconds of a Spark run go: each instant of each slot has exactly one name.

A slot is a core that Spark may put a task on. Over a window there are slots x wall slot-seconds;
those under a task are divided by the task's own figures, the idle ones by what the scheduler was
waiting for at that instant. Nothing is counted twice: a figure takes only what those before it
left, and what contradicts the clock is cut and told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bench.records.spark_log import SparkLog

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

ROUNDING = 0.002  # s a task: Spark's figures are whole milliseconds
TOLD = 0.01  # share of the run time from which a contradiction is worth a note
LATER = 4  # later tasks of an executor's first stage that show what its first wave had in excess


def dot(left: Array, right: Array) -> float:
    """Return the sum of products."""
    return float(np.dot(left, right))


@dataclass
class Ledger:
    """Slot-seconds by name, and what has to be said about them."""

    slots: int
    parts: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, slot_seconds: float) -> None:
        """Add to a part; rounding errors below zero count as none."""
        self.parts[name] = self.parts.get(name, 0.0) + max(0.0, float(slot_seconds))


@dataclass(frozen=True)
class Timeline:
    """What was so between one edge (s since the epoch) and the next; counts have one fewer."""

    edges: Array
    busy: Array  # tasks on slots
    pending: Array  # tasks that could run and do not
    active: Array  # Spark stages
    present: Array  # slots of registered executors; inf where the log names no executor

    def integral(self, rate: Array) -> Array:
        """Return the integral of a rate from the first edge to each edge."""
        return np.concatenate([[0.0], np.cumsum(rate * np.diff(self.edges))])

    def between(self, rate: Array, start: Array, stop: Array) -> Array:
        """Return the integral of a rate over intervals, cut to the window."""
        total = self.integral(rate)
        return np.interp(stop, self.edges, total) - np.interp(start, self.edges, total)


def timeline(log: SparkLog, begin: float, end: float) -> Timeline:
    """Count busy slots, pending tasks, active stages and present slots over the window (s)."""
    tasks, stages = log.tasks, log.stages
    launch = _floats(tasks, "launch")
    finish = np.maximum(_floats(tasks, "finish"), launch)
    since = np.minimum(_pending_since(tasks, stages), launch)
    opened, closed = stage_times(stages, end)
    added, removed, cores = _executors(log.executors)
    known = [launch, finish, since, opened, closed, added, removed]
    window = np.array([begin, end])
    edges = np.unique(np.clip(np.concatenate([*known, window]), begin, end))

    def count(starts: Array, stops: Array, weight: Array | None = None) -> Array:
        return _reached(starts, edges, weight) - _reached(stops, edges, weight)

    return Timeline(
        edges=edges,
        busy=count(launch, finish),
        pending=count(since, launch),
        active=count(opened, closed),
        present=count(added, removed, cores) if len(cores) else np.full(len(edges) - 1, np.inf),
    )


def _reached(moments: Array, edges: Array, weight: Array | None) -> Array:
    """Return how many moments (or how much weight) lie at or before each edge but the last."""
    order = np.argsort(moments)
    weights = np.ones(len(moments)) if weight is None else weight[order]
    total = np.concatenate([[0.0], np.cumsum(weights)])
    reached: Array = total[np.searchsorted(moments[order], edges[:-1], side="right")]
    return reached


def _floats(table: pd.DataFrame, name: str) -> Array:
    return np.asarray(table[name], dtype=np.float64)


def stage_times(stages: pd.DataFrame, end: float) -> tuple[Array, Array]:
    """Return when each stage was submitted and done; an open one lasts until ``end``."""
    opened = _floats(stages, "submitted")
    closed = _floats(stages, "completed")
    return opened, np.maximum(np.where(np.isnan(closed), end, closed), opened)


def _executors(executors: pd.DataFrame) -> tuple[Array, Array, Array]:
    """Return when each executor of known size came and went (inf: never), and its cores."""
    known = executors[(executors["cores"] > 0) & executors["added"].notna()]
    added, removed = _floats(known, "added"), _floats(known, "removed")
    removed = np.where(np.isnan(removed), np.inf, np.maximum(removed, added))
    return added, removed, _floats(known, "cores")


def _pending_since(tasks: pd.DataFrame, stages: pd.DataFrame) -> Array:
    """Return from when each task attempt could have run: its stage's submission; for a retry
    the end of the attempt before; for a speculative copy its launch.
    """
    keys = ["stage", "stage_attempt"]
    known = tasks[keys].merge(stages[[*keys, "submitted"]], on=keys, how="left")
    since = known["submitted"].to_numpy(dtype=np.float64, copy=True)
    launch = _floats(tasks, "launch")
    retried = np.asarray(tasks["attempt"]) > 0
    if retried.any():
        group = [*keys, "index"]
        ordered = tasks.sort_values([*group, "attempt"], kind="stable")
        before = ordered.groupby(group)["finish"].shift(1).reindex(tasks.index)
        since = np.where(retried, before.to_numpy(dtype=np.float64), since)
    alone = np.isnan(since) | np.asarray(tasks["speculative"], dtype=bool)
    return np.where(alone, launch, since)


# --- under tasks -----------------------------------------------------------------------------


def share_tasks(log: SparkLog, times: Timeline, ledger: Ledger) -> None:
    """Add the slot-seconds under tasks to the ledger, each task's by its own figures."""
    tasks = log.tasks
    if not len(tasks):
        return
    launch = _floats(tasks, "launch")
    finish = np.maximum(_floats(tasks, "finish"), launch)
    wall = finish - launch
    weight = np.minimum(1.0, ledger.slots / np.maximum(times.busy, 1.0))
    slot_seconds = times.between(weight, launch, finish)
    factor = np.divide(slot_seconds, wall, out=np.zeros_like(wall), where=wall > 0)
    over = dot(np.maximum(times.busy - ledger.slots, 0.0), np.diff(times.edges))
    if over > TOLD * float(slot_seconds.sum()):
        ledger.notes.append(
            f"up to {times.busy.max():.0f} tasks at once on {ledger.slots} slots: "
            "their time was scaled down"
        )
    failed = np.asarray(tasks["failed"], dtype=bool)
    unknown = ~failed & np.isnan(_floats(tasks, "run"))
    ledger.add("failed attempts", float(slot_seconds[failed].sum()))
    ledger.add("not known", float(slot_seconds[unknown].sum()))
    good = ~failed & ~unknown
    excess = np.zeros_like(wall)
    excess[good] = _warm_up(log.executors, tasks[good], factor[good], ledger)
    good &= factor > 0
    _share_good(log, tasks[good], wall[good], factor[good], excess[good], ledger)


def _share_good(
    log: SparkLog, tasks: pd.DataFrame, wall: Array, factor: Array, excess: Array, ledger: Ledger
) -> None:
    """Divide successful tasks: outside the run as Spark's own UI does, then the run itself.

    Scheduler delay = duration - run - deserialization - serialization - getting the result:
    Apache Spark, core, org.apache.spark.status.AppStatusUtils.schedulerDelay.
    """
    cut = _Cut(tasks, wall)
    run = cut.take(_floats(tasks, "run"))
    deserialize = cut.take(cut.figure("deserialize"))
    serialize = cut.take(cut.figure("serialize"))
    getting = _floats(tasks, "getting_result")
    fetched = np.where(np.isnan(getting), 0.0, _floats(tasks, "finish") - getting)
    result = serialize + cut.take(fetched)
    ledger.add("deserialization", dot(deserialize, factor))
    ledger.add("result handling", dot(result, factor))
    ledger.add("scheduling", dot(cut.left, factor))
    cut.left = run
    cpu = cut.take(cut.figure("cpu"))
    warm_up = np.minimum(excess, cpu)
    ledger.add("start-up", dot(warm_up, factor))
    ledger.add("compute", dot((cpu - warm_up), factor))
    for name, column in (
        ("GC", "gc"),
        ("shuffle wait", "fetch_wait"),
        ("shuffle write", "shuffle_write_time"),
    ):
        ledger.add(name, dot(cut.take(cut.figure(column)), factor))
    _share_rest(log.stages, tasks, cpu, cut.left, factor, ledger)
    ledger.notes.extend(cut.notes(run))


@dataclass
class _Cut:
    """Takes one figure of the tasks after the other from the time that is left."""

    tasks: pd.DataFrame
    left: Array
    excess: float = 0.0
    absent: list[str] = field(default_factory=list)

    def figure(self, name: str) -> Array:
        """Return a column; a figure that the log lacks takes nothing, and is told."""
        values = _floats(self.tasks, name)
        if np.isnan(values).any():
            self.absent.append(name)
        return np.nan_to_num(values, nan=0.0)

    def take(self, wanted: Array) -> Array:
        """Take what is wanted, as far as it is left; remember what was too much."""
        taken = np.minimum(np.maximum(wanted, 0.0), self.left)
        self.excess += float(np.maximum(wanted - taken - ROUNDING, 0.0).sum())
        self.left = self.left - taken
        return taken

    def notes(self, run: Array) -> list[str]:
        """Return what contradicts itself or is missing."""
        notes = []
        if self.excess > TOLD * float(run.sum()):
            notes.append(
                f"the log's own figures exceed the tasks' time by {self.excess:.3g} s "
                "(GC and waits overlap, or clocks differ): cut"
            )
        if self.absent:
            notes.append(f"the log lacks {', '.join(self.absent)} of some tasks: counted as rest")
        return notes


def _warm_up(executors: pd.DataFrame, tasks: pd.DataFrame, factor: Array, ledger: Ledger) -> Array:
    """Return the CPU seconds that tasks of an executor's first wave took more than later ones.

    Shown only where all tasks of the first wave took more CPU than three quarters of at least
    ``LATER`` later tasks of the same stage there, with no more bytes read than they; the excess
    is over their median. Where it cannot be shown it stays in compute, and is told if the wave
    lies in the window (factor > 0).
    """
    excess = np.zeros(len(tasks))
    cores = dict(zip(executors["executor"], executors["cores"], strict=True))
    codes, names = tasks["executor"].factorize()
    launch, size = _floats(tasks, "launch"), data_read(tasks)
    cpu = np.nan_to_num(_floats(tasks, "cpu"))
    stage = np.asarray(tasks["stage"])
    order = np.lexsort((launch, codes))
    unseen = 0
    for mine in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        if not len(mine):
            continue
        width = max(1, int(cores.get(names[codes[mine[0]]], 1)))
        wave, rest = np.split(mine, [width])
        later = rest[np.isin(stage[rest], stage[wave])]
        if len(later) < LATER or len(np.unique(stage[wave])) > 1:
            unseen += bool(factor[wave].any())
            continue
        more_data = np.median(size[wave]) > 1.1 * np.median(size[later])
        if not more_data and cpu[wave].min() > np.quantile(cpu[later], 0.75):
            excess[wave] = cpu[wave] - np.median(cpu[later])
    if unseen:
        ledger.notes.append(
            f"warm-up (JIT) of {unseen} executors cannot be told from compute: "
            "too few tasks follow their first ones in the same stage"
        )
    return excess


def data_read(tasks: pd.DataFrame) -> Array:
    """Return the bytes that each task read, from storage and shuffles; 0 where not known."""
    return np.nan_to_num(_floats(tasks, "input")) + np.nan_to_num(_floats(tasks, "shuffle_read"))


def _share_rest(
    stages: pd.DataFrame,
    tasks: pd.DataFrame,
    cpu: Array,
    rest: Array,
    factor: Array,
    ledger: Ledger,
) -> None:
    """Name the run time that is neither CPU nor a wait that Spark measures.

    Spark has no figure for the time that spilling takes: in a task that spilled it is what
    exceeds the rest-to-CPU ratio of the tasks that did not. Where Python workers run, their CPU
    is in no figure, and nothing can be split.
    """
    of_python = set(stages.loc[np.asarray(stages["python"], dtype=bool), "stage"])
    python = np.isin(np.asarray(tasks["stage"]), list(of_python))
    volume = np.nan_to_num(_floats(tasks, "spill_disk")) + np.nan_to_num(
        _floats(tasks, "spill_memory")
    )
    spilled = (volume > 0) & ~python
    calm = ~spilled & ~python
    used = float(cpu[calm].sum())
    ratio = float(rest[calm].sum()) / used if used > 0 else 0.0
    spill = np.where(spilled, np.maximum(rest - ratio * cpu, 0.0), 0.0)
    ledger.add("Python workers", dot(rest[python], factor[python]))
    ledger.add("spill", dot(spill, factor))
    ledger.add("contention", dot(np.where(python, 0.0, rest - spill), factor))
    if spilled.any() and not used:
        ledger.notes.append("every task spilled: contention cannot be told from spill")
    if python.any():
        ledger.notes.append(
            "Python workers ran: their compute and their contention are one part, for Spark "
            "does not measure their CPU"
        )
