"""Why slots were idle: who was waited for, instant by instant."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from bench.analysis.attribution.spark_tasks import (
    Array,
    Ledger,
    Timeline,
    data_read,
    dot,
    stage_times,
)
from bench.records.spark_log import SparkLog


def share_idle(log: SparkLog, times: Timeline, ledger: Ledger) -> None:
    """Add the slot-seconds without a task to the ledger.

    In this order: slots without an executor; no Spark stage active (start-up before the
    application's first one, the driver after); tasks that could run but are not launched
    (scheduling); nothing left to launch or run in an active stage (the driver takes the
    results); else the end of a stage, divided stage by stage.
    """
    length = np.diff(times.edges)
    idle = ledger.slots - np.minimum(times.busy, ledger.slots)
    left = idle - _without_executor(times, idle, length, ledger)
    active = times.active > 0
    first = np.nanmin(log.stages["submitted"]) if len(log.stages) else math.inf
    early = times.edges[:-1] < first
    ledger.add("start-up", dot((left * (~active & early)), length))
    ledger.add("driver", dot((left * (~active & ~early)), length))
    left = left * active
    waiting = np.where(times.busy == 0, left * (times.pending > 0), np.minimum(left, times.pending))
    ledger.add("scheduling", dot(waiting, length))
    left = left - waiting
    collecting = left * (times.busy == 0)
    ledger.add("result handling", dot(collecting, length))
    rate = np.divide(left - collecting, times.active, out=np.zeros_like(left), where=active)
    _share_tails(log, times, rate, ledger)


def _without_executor(times: Timeline, idle: Array, length: Array, ledger: Ledger) -> Array:
    """Name idle slots that no executor offers: not yet (start-up), or not any more."""
    missing = np.minimum(idle, np.maximum(ledger.slots - times.present, 0.0))
    complete = np.flatnonzero(times.present >= min(ledger.slots, times.present.max()))
    coming = np.arange(len(missing)) < complete[0]
    ledger.add("start-up", dot((missing * coming), length))
    ledger.add("missing executors", dot((missing * ~coming), length))
    return missing


def _share_tails(log: SparkLog, times: Timeline, rate: Array, ledger: Ledger) -> None:
    """Divide the idle ends of stages into too few tasks, skew and stragglers.

    What would be idle with every task as long as the median one, slots x waves x median less
    tasks x median, waves = ceil(tasks / slots), is a matter of the number of tasks. Of the rest,
    the part of the long tasks' excess that goes with the bytes they read is skew, the other part
    stragglers.
    """
    opened, closed = stage_times(log.stages, float(times.edges[-1]))
    idle = times.between(rate, opened, closed)
    inside = np.clip(closed, times.edges[0], times.edges[-1]) - np.clip(
        opened, times.edges[0], times.edges[-1]
    )
    shares = inside / np.where(closed > opened, closed - opened, 1.0)
    groups = dict(_by_stage(log))
    keys = zip(log.stages["stage"], log.stages["stage_attempt"], strict=True)
    launch = log.tasks["launch"].to_numpy(dtype=np.float64)
    wall = np.maximum(log.tasks["finish"].to_numpy(dtype=np.float64), launch) - launch
    size = data_read(log.tasks)
    for position, key in enumerate(keys):
        rows = groups.get(key)
        if rows is None:
            ledger.add("idle slots", idle[position])
            continue
        few = min(idle[position], shares[position] * _granular(wall[rows], ledger.slots))
        skewed = _explained(wall[rows], size[rows])
        uneven = idle[position] - few
        if skewed is None:
            ledger.add("idle slots", idle[position])
            continue
        ledger.add("idle slots", few)
        ledger.add("skew", uneven * skewed)
        ledger.add("stragglers", uneven * (1 - skewed))


def _by_stage(log: SparkLog) -> Iterator[tuple[tuple[int, int], npt.NDArray[np.intp]]]:
    stage = np.asarray(log.tasks["stage"], dtype=np.int64)
    attempt = np.asarray(log.tasks["stage_attempt"], dtype=np.int64)
    order = np.lexsort((attempt, stage))
    changes = np.flatnonzero((np.diff(stage[order]) != 0) | (np.diff(attempt[order]) != 0)) + 1
    for rows in np.split(order, changes):
        if len(rows):
            yield (int(stage[rows[0]]), int(attempt[rows[0]])), rows


def _granular(wall: Array, slots: int) -> float:
    """Return the slot-seconds that stay idle with so many tasks of the median length."""
    waves = math.ceil(len(wall) / slots)
    return (slots * waves - len(wall)) * float(np.median(wall))


def _explained(wall: Array, size: Array) -> float | None:
    """Return which share (0..1) of the long tasks' excess goes with the bytes they read.

    None: no task is longer than the median. Without bytes nothing is explained.
    """
    usual = float(np.median(wall))
    excess = np.maximum(wall - usual, 0.0)
    if not excess.any():
        return None
    bytes_usual = float(np.median(size))
    if bytes_usual <= 0:
        return 0.0
    expected = np.maximum(usual * (size / bytes_usual - 1.0), 0.0)
    return float(np.minimum(excess, expected).sum() / excess.sum())
