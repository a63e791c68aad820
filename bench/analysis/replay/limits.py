"""Where a replay on other worker counts cannot know the time, and why."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from bench.analysis.replay.stage_graph import Graph
from bench.records.spark_log import SparkLog

Partitions = Literal["fixed", "workers"]

_RESERVED = 300 << 20  # bytes of a heap that are neither storage nor execution memory
_FRACTION = 0.6  # spark.memory.fraction unless it is set
_UNITS = {"k": 10, "m": 20, "g": 30, "t": 40}  # powers of 2
_PARALLELISM = "spark.default.parallelism"


class ReplayLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run besides its tasks, to tell what another count would change.

    ``partitions`` says whether the data has one for each core ("workers") or always as many;
    ``worker_cpu`` is a worker's share of the ``machine_cores`` that all workers and the driver
    (``driver_cpu``) have in common, in cores. None: not known (of machine and worker: the workers
    have machines of their own).
    """

    log: SparkLog
    graph: Graph
    workers: int
    cores: int
    partitions: Partitions | None = None
    worker_cpu: float | None = None
    machine_cores: float | None = None
    driver_cpu: float = 0.0

    def follows(self) -> bool:
        """Return whether the partitions are known to follow the worker count."""
        return self.partitions == "workers" and _PARALLELISM not in self.log.conf

    def at(self, count: int) -> str:
        """Return why the time at ``count`` workers cannot be known, or an empty string."""
        if count == self.workers:
            return ""
        found: list[Callable[[int], str]] = [self._contention, self._partitions, self._cache]
        return "; ".join(reason for check in found if (reason := check(count)))

    def notes(self) -> tuple[str, ...]:
        """Say in words what the replay took as it was, although it may matter."""
        tasks = self.log.tasks
        failed, guesses = int(tasks.failed.sum()), int(tasks.speculative.sum())
        notes = []
        if failed:
            notes.append(f"{failed} failed or killed task attempts are replayed as measured")
        if guesses:
            notes.append(f"{guesses} speculative task attempts are replayed as measured")
        if math.isnan(self._read()):
            notes.append("the log does not say what tasks read: cache fit is not checked")
        elif self._storage() is None:
            notes.append("spark.executor.memory is not in the log: cache fit is not checked")
        return tuple(notes)

    def _contention(self, count: int) -> str:
        if self.worker_cpu is None or self.machine_cores is None:
            return ""
        most = max(count, self.workers)  # a run that was cramped itself tells of no other count
        wanted = most * self.worker_cpu + self.driver_cpu
        if wanted <= self.machine_cores:
            return ""
        driver = " and the driver" if self.driver_cpu else ""
        return (
            f"contention: {most} workers of {self.worker_cpu:g} cores{driver} want {wanted:g}, the"
            f" machine has {self.machine_cores:g}"
        )

    def _partitions(self, count: int) -> str:
        before, after = (parallelism(n, self.cores) for n in (self.workers, count))
        widths = {len(node.work) for node in self.graph.nodes}
        if before == after or before not in widths or _PARALLELISM in self.log.conf:
            return ""
        if self.partitions is None:
            return (
                f"partitions: stages have {before} tasks, as many as Spark's default parallelism;"
                f" whether they would have {after} is not known"
            )
        trees = any(node.kind.startswith("treeAggregate") for node in self.graph.nodes)
        if self.partitions == "workers" and trees and _levels(before) != _levels(after):
            return (
                f"partitions: with {after} of them treeAggregate gets another level of stages"
                " than this run has"
            )
        return ""

    def _cache(self, count: int) -> str:
        """Compare what the widest stage reads with the executors' unified memory.

        That is (heap - 300 MiB) * spark.memory.fraction: Spark's guide "Tuning", section "Memory
        Management StudyAnalysis"; storage may take all of it as long as execution needs none.
        """
        storage, read = self._storage(), self._read()
        if storage is None or math.isnan(read):
            return ""
        fitted, fits = (read <= n * storage for n in (self.workers, count))
        if fitted and fits:
            return ""
        what = f"a stage reads {read / 2**20:.0f} MiB, {count} x {storage / 2**20:.0f} MiB"
        if fitted:
            return f"cache: {what} may not hold them as {self.workers} do"
        return f"cache: {what} may hold another part of them than {self.workers} do"

    def _read(self) -> float:
        """Return the bytes that the stage that reads most read; NaN where the log has none."""
        sizes = [node.input for node in self.graph.nodes if not math.isnan(node.input)]
        return max(sizes, default=math.nan)

    def _storage(self) -> float | None:
        """Return the bytes that one executor can cache, where its heap is known."""
        heap = _bytes(self.log.conf.get("spark.executor.memory", ""))
        if heap is None:
            return None
        fraction = float(self.log.conf.get("spark.memory.fraction", _FRACTION))
        return max(0.0, (heap - _RESERVED) * fraction)


def parallelism(workers: int, cores: int) -> int:
    """Return Spark's default parallelism on a cluster: its cores, at least 2 (Spark's guide
    "Configuration", spark.default.parallelism).
    """
    return max(2, workers * cores)


def _levels(partitions: int) -> int:
    """Return how many levels of stages a treeAggregate of depth 2 has below its last one.

    It reduces by ``scale`` = max(2, ceil(sqrt(partitions))) while that saves stages' tasks:
    partitions > scale + ceil(partitions / scale) (Spark's RDD.treeAggregate).
    """
    scale = max(math.ceil(math.sqrt(partitions)), 2)
    levels = 0
    while partitions > scale + math.ceil(partitions / scale):
        partitions //= scale
        levels += 1
    return levels


def _bytes(text: str) -> int | None:
    """Return the bytes of a size as Spark writes it ("1024m"; bare numbers are MiB)."""
    match = re.fullmatch(r"(\d+)\s*([kmgt]?)b?", text.strip().lower())
    if match is None:
        return None
    units: Mapping[str, int] = {"": 20, **_UNITS}
    return int(match[1]) << units[match[2]]
