"""The stage graph of a Spark log, with what its tasks take on a fresh and on a warm executor.

A node is one attempt of a Spark stage. Its tasks keep their measured time on the slot (scheduling
delay, deserialization and locality included). What an executor's first tasks of a kind take
longer (JIT, class loading, Python workers) is a factor by their position on that executor, so
that each executor of a replay pays it again.
"""

from __future__ import annotations

import bisect
import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.records.spark_log import SparkLog

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_MOST_ONCE = 0.9  # of a task's time that counts as paid once an executor


@dataclass(frozen=True, kw_only=True)
class Node:
    """One stage attempt; arrays [tasks] in the order of launch.

    ``measured`` is each task's time on its slot (s), ``work`` the same over the warm-up factor of
    its position, ``run`` the share (0..1) of it that is Executor Run Time, ``index`` its
    partition. ``lag`` is the driver's seconds between the end of ``after`` (positions of nodes;
    none: the window's begin) and the first launch, ``tail`` those from the last task's end to the
    stage's. ``input`` is the bytes that its tasks read.
    """

    kind: str
    after: tuple[int, ...]
    lag: float
    tail: float
    index: Ints
    measured: Floats
    work: Floats
    run: Floats
    input: float


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Nodes in an order in which each comes after its ``after``; all times in seconds.

    ``warmup`` holds by kind the factors [positions], 1 where an executor is warm; ``before`` how
    many rounds of a kind an executor had run when the window began; ``registered`` the time from
    the window's begin until an executor was there; ``tail`` the driver's time after the last node.
    """

    nodes: tuple[Node, ...]
    warmup: Mapping[str, Floats]
    before: Mapping[str, int]
    registered: float
    tail: float

    @property
    def driver(self) -> float:
        """Seconds in the nodes' lags and tails and after them: the driver's own."""
        return self.tail + sum(node.lag + node.tail for node in self.nodes)

    @property
    def startup(self) -> float:
        """Seconds that tasks took longer than on warm executors, summed over executors."""
        return float(sum((node.measured - node.work).sum() for node in self.nodes))


class _Stage(NamedTuple):
    """One stage attempt and its tasks; ``free`` says whether a slot was while it waited."""

    stage: int
    parents: tuple[int, ...]
    submitted: float
    completed: float
    free: bool
    tasks: pd.DataFrame

    @property
    def end(self) -> float:
        """When it ended; the last task's end where the log has no other."""
        last = float(self.tasks.finish.max())
        return last if math.isnan(self.completed) else max(last, self.completed)


def build(log: SparkLog, begin: float, end: float, *, workers: int, cores: int) -> Graph:
    """Return the graph of the stages that were submitted in [begin, end) (s since the epoch)."""
    tasks = _tasks(log, cores)
    usual = float(tasks.deserialize.median())
    kinds = tasks.groupby("kind", sort=False)
    warmup = {str(kind): _factors(group, usual) for kind, group in kinds}
    ends: list[float] = []
    ended: list[tuple[float, int]] = []
    places: dict[int, int] = {}
    nodes: list[Node] = []
    for stage in _stages(log, tasks, begin, end, workers * cores):
        after = _after(stage, places, ends, ended)
        anchor = max((ends[place] for place in after), default=begin)
        nodes.append(_node(stage, after, anchor, warmup))
        ends.append(stage.end)
        bisect.insort(ended, (stage.end, len(nodes) - 1))
        places[stage.stage] = len(nodes) - 1
    added = (log.executors.added - begin).dropna()
    return Graph(
        nodes=tuple(nodes),
        warmup=warmup,
        before=_before(tasks[tasks.launch < begin], workers * cores),
        registered=max(0.0, float(added.median())) if len(added) else 0.0,
        tail=max(0.0, end - max(ends, default=begin)),
    )


def _stages(
    log: SparkLog, tasks: pd.DataFrame, begin: float, end: float, slots: int
) -> Iterator[_Stage]:
    """Yield the stage attempts that were submitted in the window and ran a task, in order."""
    groups = dict(iter(tasks.groupby(["stage", "stage_attempt"], sort=False)))
    table = log.stages.sort_values(["submitted", "stage", "stage_attempt"], kind="stable")
    names = ("stage", "stage_attempt", "parents", "submitted", "completed")
    launched = np.sort(tasks.launch.to_numpy())
    finished = np.sort((tasks.launch + tasks.seconds).to_numpy())
    for number, attempt, parents, submitted, completed in zip(
        *(table[name].tolist() for name in names), strict=True
    ):
        if begin <= submitted < end and (number, attempt) in groups:
            group = groups[number, attempt]
            # Halfway to the first launch: a wait is either the driver's or for a slot.
            halfway = (submitted + float(group.launch.min())) / 2
            running = np.searchsorted(launched, halfway) - np.searchsorted(finished, halfway)
            yield _Stage(number, tuple(parents), submitted, completed, running < slots, group)


def _tasks(log: SparkLog, cores: int) -> pd.DataFrame:
    """Return the tasks with their kind, seconds on the slot and position on their executor.

    The position counts rounds: an executor of c cores begins c tasks at position 0.
    """
    names = log.stages[["stage", "stage_attempt", "name", "tasks"]]
    found = log.tasks[log.tasks.launch.notna() & log.tasks.finish.notna()]
    found = found.merge(names, on=["stage", "stage_attempt"], suffixes=("", "_of"))
    found = found.sort_values(
        ["launch", "task_of" if "task_of" in found else "task"], kind="stable"
    )
    found["kind"] = found["name"] + np.where(found["tasks"] == 1, " (one task)", "")
    found["position"] = found.groupby(["kind", "executor"], sort=False).cumcount() // cores
    found["seconds"] = _occupied(found, cores)
    share = found["run"] / found["seconds"].where(found["seconds"] > 0)
    found["share"] = share.clip(0.0, 1.0).fillna(1.0)
    return found


def _occupied(tasks: pd.DataFrame, cores: int) -> Floats:
    """Return each task's seconds on its slot: the driver launches the next task of a slot some ms
    before the time that it notes as the end of the one before.
    """
    launch, seconds = tasks.launch.to_numpy(), (tasks.finish - tasks.launch).to_numpy().copy()
    lanes: dict[str, list[tuple[float, int]]] = {}
    for place, executor in enumerate(tasks.executor):
        lane = lanes.setdefault(executor, [])
        if len(lane) == cores:
            free, earlier = heapq.heappop(lane)
            seconds[earlier] -= max(0.0, free - launch[place])
        heapq.heappush(lane, (launch[place] + seconds[place], place))
    occupied: Floats = np.maximum(seconds, 0.0)
    return occupied


def _factors(tasks: pd.DataFrame, usual: float) -> Floats:
    """Return the warm-up factors [positions] of one kind: time there over time when warm, >= 1.

    Over executors the lower median, so that one executor's straggler is no warm-up; over positions
    the non-increasing least-squares fit (pool adjacent violators: Barlow et al., "Statistical
    Inference under Order Restrictions", 1972, section 1.2); warm is the median of the later half.
    Where no executor ran a second round, all that is known to be paid once is deserialization (of
    the stage's closure, with its classes) beyond the ``usual`` seconds of the log.
    """
    from scipy.optimize import isotonic_regression

    means = tasks.groupby(["executor", "position"], sort=False)["seconds"].mean()
    curve = means.groupby("position").quantile(0.5, interpolation="lower").sort_index().to_numpy()
    warm = float(np.median(curve[len(curve) // 2 :]))
    if len(curve) == 1:
        once = (tasks.deserialize - usual).clip(lower=0.0) / tasks.seconds
        warm *= 1 - min(_MOST_ONCE, float(np.nan_to_num(once.median())))
    if warm <= 0:
        return np.ones(1)
    fitted: Floats = isotonic_regression(curve, increasing=False).x
    return np.asarray(np.maximum(fitted / warm, 1.0), dtype=np.float64)


def at(factors: Floats, positions: Ints) -> Floats:
    """Return the factors at positions of any shape; beyond the last one measured it is 1."""
    inside = np.minimum(positions, len(factors) - 1)
    found: Floats = np.where(positions < len(factors), factors[inside], 1.0)
    return found


def _before(earlier: pd.DataFrame, slots: int) -> dict[str, int]:
    """Return how many rounds of each kind an executor had run before the window, on average."""
    return {str(kind): round(len(group) / slots) for kind, group in earlier.groupby("kind")}


def _after(
    stage: _Stage,
    places: Mapping[int, int],
    ends: Sequence[float],
    ended: Sequence[tuple[float, int]],
) -> tuple[int, ...]:
    """Return the nodes that a stage waited for: its parents, or, for a job's first stages, the
    node that ended last before the driver submitted it. ``ended`` are ends and nodes, sorted.
    """
    parents = {places[number] for number in stage.parents if number in places}
    found = tuple(sorted(place for place in parents if ends[place] <= stage.submitted))
    if found:
        return found
    earlier = bisect.bisect_right(ended, (stage.submitted, len(ended)))
    return (ended[earlier - 1][1],) if earlier else ()


def _node(
    stage: _Stage, after: tuple[int, ...], anchor: float, warmup: Mapping[str, Floats]
) -> Node:
    """Return a stage as a node; where all slots were taken, waiting for one is not the driver's."""
    tasks = stage.tasks
    kind = str(tasks["kind"].iloc[0])
    names = ("seconds", "launch", "input", "share", "position")
    measured, launch, read, share, position = (tasks[name].to_numpy() for name in names)
    began = float(launch.min()) if stage.free else stage.submitted
    last = float((launch + measured).max())
    return Node(
        kind=kind,
        after=after,
        lag=max(0.0, began - anchor),
        tail=0.0 if math.isnan(stage.completed) else max(0.0, stage.completed - last),
        index=tasks["index"].to_numpy(),
        measured=measured,
        work=measured / at(warmup[kind], position),
        run=share,
        input=math.nan if np.isnan(read).all() else float(np.nansum(read)),
    )
