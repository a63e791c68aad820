"""What if: one run's Spark log replayed on other numbers of workers.

The measured tasks are put on other slots by list scheduling, first in, first out: a task goes to
the slot that is free first (Graham, "Bounds for certain multiprocessing anomalies", Bell System
Technical Journal 45 (1966) 1563-1581; Spark's default scheduler is of this kind). Stages wait for
their parents, the driver's own time stays as it was, and each executor pays its start-up.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections.abc import Mapping, Sequence
from statistics import median

import msgspec
import numpy as np

from bench.analysis.replay import stage_graph
from bench.analysis.replay.limits import Partitions, ReplayLimits, parallelism
from bench.analysis.replay.stage_graph import Floats, Graph, Ints, Node
from bench.records.spark_log import SparkLog

LEVEL = 0.9
METHOD = "list scheduling of the measured tasks; interval: bootstrap of task times, percentiles"

_DRAWS = 200
_BUDGET = 40_000_000  # task placements a point, all draws together
_ENOUGH = 5  # repeats of a partition from which its own times are drawn


class ReplayPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The work's time (s) at one worker count; where ``refused`` says why it cannot be known,
    ``seconds`` is the best guess and ``high`` infinite.
    """

    workers: int
    seconds: float
    low: float
    high: float
    refused: str = ""


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """The work's time over worker counts, as replayed from one run.

    ``measured`` is the window's length and ``replayed`` what the replay gives at the measured
    ``workers`` (both s): how far they are apart is the replay's own error. ``driver`` is the time
    without a task, which no worker shortens; ``startup`` what tasks took longer on fresh
    executors, a worker. ``level`` (0..1) is that of low to high, which knows the scatter of task
    times within this run, not that between runs.
    """

    workers: int
    measured: float
    replayed: float
    driver: float
    startup: float
    level: float
    method: str
    points: tuple[ReplayPoint, ...]
    notes: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A replayed point beside the median (s) of the ``runs`` measured there; ``error`` is the
    replay's, relative to it (0.1: a tenth too long).
    """

    point: ReplayPoint
    measured: float | None = None
    runs: int = 0
    error: float | None = None


def replay(  # noqa: PLR0913 - one run's facts
    log: SparkLog,
    begin: float,
    end: float,
    *,
    workers: int,
    cores: int,
    at: Sequence[int],
    seed: int = 0,
    partitions: Partitions | None = None,
    worker_cpu: float | None = None,
    machine_cores: float | None = None,
    driver_cpu: float = 0.0,
) -> Replay:
    """Return the time that the work in [begin, end) (s since the epoch) takes at worker counts.

    ``workers`` executors of ``cores`` cores each ran it; those of ``at`` have as many cores.
    ``partitions`` says whether the data has one for each core of the executors ("workers") or
    always as many (None: not known). ``worker_cpu`` is a worker's share of ``machine_cores``, in
    cores, where all workers share one machine, ``driver_cpu`` the driver's. Raises ValueError for
    counts below 1, a window without a task, or an end that is not behind its beginning.
    """
    if min(workers, cores, *at) < 1:
        raise ValueError(f"workers, cores and counts are at least 1: {workers}, {cores}, {at}")
    if not end > begin:
        raise ValueError(f"the work's end {end} is not behind its beginning {begin}")
    graph = stage_graph.build(log, begin, end, workers=workers, cores=cores)
    if not graph.nodes:
        raise ValueError(f"no Spark stage was submitted between {begin} and {end}")
    doubts = ReplayLimits(
        log=log,
        graph=graph,
        workers=workers,
        cores=cores,
        partitions=partitions,
        worker_cpu=worker_cpu,
        machine_cores=machine_cores,
        driver_cpu=driver_cpu,
    )
    return Replay(
        workers=workers,
        measured=end - begin,
        replayed=makespan(graph, workers, cores),
        driver=graph.driver,
        startup=graph.startup / workers,
        level=LEVEL,
        method=METHOD,
        points=tuple(_point(doubts, count, seed) for count in at),
        notes=doubts.notes(),
    )


def beside(found: Replay, measured: Mapping[int, Sequence[float]]) -> tuple[Answer, ...]:
    """Return the points beside the positive times (s) that runs took, by worker count."""
    answers = []
    for point in found.points:
        times = measured.get(point.workers, ())
        middle = median(times) if times else None
        error = point.seconds / middle - 1 if middle else None
        answers.append(Answer(point=point, measured=middle, runs=len(times), error=error))
    return tuple(answers)


def _point(doubts: ReplayLimits, count: int, seed: int) -> ReplayPoint:
    """Return one worker count's time with its interval."""
    graph, cores = doubts.graph, doubts.cores
    if doubts.follows():
        graph = repartition(graph, doubts.workers, count, cores)
    seconds = makespan(graph, count, cores)
    low, high = _interval(graph, count, cores, seconds, seed)
    refused = doubts.at(count)
    return ReplayPoint(
        workers=count,
        seconds=seconds,
        low=low,
        high=math.inf if refused else high,
        refused=refused,
    )


def repartition(graph: Graph, workers: int, count: int, cores: int) -> Graph:
    """Return the graph with its data cut for ``count`` workers instead of ``workers``.

    Stages as wide as Spark's default parallelism get the new one: Executor Run Time is shared out
    evenly (how skew would fall is not known), what else a task takes stays as it was per task.
    """
    before, after = parallelism(workers, cores), parallelism(count, cores)
    if before == after:
        return graph
    nodes = [_recut(node, after) if len(node.work) == before else node for node in graph.nodes]
    return dataclasses.replace(graph, nodes=tuple(nodes))


def _recut(node: Node, tasks: int) -> Node:
    """Return the node with so many equal tasks."""
    each = (node.work * node.run).sum() / tasks + (node.work * (1 - node.run)).mean()
    work = np.full(tasks, each)
    return dataclasses.replace(
        node,
        index=np.arange(tasks),
        measured=work,
        work=work,
        run=np.full(tasks, (node.work * node.run).sum() / tasks / each if each > 0 else 1.0),
    )


def makespan(graph: Graph, workers: int, cores: int) -> float:
    """Return the seconds from the window's begin to its end on so many executors."""
    return float(_simulate(graph, workers, cores, [node.work[None, :] for node in graph.nodes])[0])


def _interval(
    graph: Graph, workers: int, cores: int, seconds: float, seed: int
) -> tuple[float, float]:
    """Return low and high around ``seconds``: the percentiles (Efron, "Bootstrap methods", Annals
    of Statistics 7 (1979) 1-26) of replays with redrawn task times, shifted so that they lie
    around it.
    """
    rng = np.random.default_rng(seed)
    tasks = sum(len(node.work) for node in graph.nodes)
    draws = max(20, min(_DRAWS, _BUDGET // max(1, tasks * workers * cores)))
    pools: dict[tuple[str, int], list[float]] = {}
    for node in graph.nodes:
        for index, work in zip(node.index.tolist(), node.work.tolist(), strict=True):
            pools.setdefault((node.kind, index), []).append(work)
    arrays = {key: np.array(values) for key, values in pools.items()}
    works = [_redraw(node, arrays, draws, rng) for node in graph.nodes]
    spans = _simulate(graph, workers, cores, works)
    tail = (1 - LEVEL) / 2
    low, middle, high = np.quantile(spans, [tail, 0.5, 1 - tail])
    return float(seconds * min(1.0, low / middle)), float(seconds * max(1.0, high / middle))


def _redraw(
    node: Node, pools: Mapping[tuple[str, int], Floats], draws: int, rng: np.random.Generator
) -> Floats:
    """Return task times [draws, tasks]: a partition's own times in the stages of its kind, or,
    where it has few, those of the other tasks of its stage.
    """
    columns = []
    for index in node.index.tolist():
        own = pools[node.kind, index]
        columns.append(rng.choice(own if len(own) >= _ENOUGH else node.work, draws))
    return np.stack(columns, axis=1)


def _simulate(graph: Graph, workers: int, cores: int, works: Sequence[Floats]) -> Floats:
    """Return the makespans [draws] of task times ``works`` ([draws, tasks] for each node).

    Nodes are taken in the order in which they become ready (by the median draw).
    """
    draws = len(works[0])
    rows = np.arange(draws)
    free = np.full((draws, workers * cores), graph.registered)
    ages: dict[str, Ints] = {}
    ends = np.zeros((len(graph.nodes), draws))
    waiting = [len(node.after) for node in graph.nodes]
    then: list[list[int]] = [[] for _ in graph.nodes]
    for place, node in enumerate(graph.nodes):
        for earlier in node.after:
            then[earlier].append(place)
    queue = [(node.lag, place) for place, node in enumerate(graph.nodes) if not node.after]
    heapq.heapify(queue)
    while queue:
        _, place = heapq.heappop(queue)
        node = graph.nodes[place]
        ready = _latest(ends, node.after, draws) + node.lag
        factors = graph.warmup[node.kind]
        begun = np.full((draws, workers), graph.before.get(node.kind, 0) * cores)
        age = ages.setdefault(node.kind, begun)
        last = ready
        for work in works[place].T:
            slot = free.argmin(axis=1)
            executor = slot // cores
            if len(factors) > 1 or factors[0] > 1:
                work = work * stage_graph.at(factors, age[rows, executor] // cores)
                age[rows, executor] += 1
            done = np.maximum(free[rows, slot], ready) + work
            free[rows, slot] = done
            last = np.maximum(last, done)
        ends[place] = last + node.tail
        for later in then[place]:
            waiting[later] -= 1
            if not waiting[later]:
                when = _latest(ends, graph.nodes[later].after, draws) + graph.nodes[later].lag
                heapq.heappush(queue, (float(np.median(when)), later))
    latest: Floats = ends.max(axis=0) + graph.tail
    return latest


def _latest(ends: Floats, after: Sequence[int], draws: int) -> Floats:
    """Return when the last of the nodes ``after`` ends [draws]; 0 without any."""
    return ends[list(after)].max(axis=0) if after else np.zeros(draws)
