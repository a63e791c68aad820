"""Runs that stand out: outliers, and runs whose wall time CPU time does not account for.

They are marked and stay in every figure: a slow run is a fact about the machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

from bench.analysis.runs.metrics import TIME_RULE, MetricRule
from bench.analysis.runs.types import Doubt, RunValue
from bench.analysis.statistics.outliers import LEAST_VALUES, limit, modified_z
from bench.records.results import Run

STRETCH = 1.1  # a wall time that is longer by less is not worth a mark
WITHHELD = 0.1  # of the CPU time wanted, above the cell's median


def outliers(values: Sequence[RunValue], metric: MetricRule = TIME_RULE) -> list[Doubt]:
    """Return a mark for each run that is an outlier of its cell, from 5 runs on.

    It is judged by logs; by plain values where one is not positive, which a time never is.
    """
    numbers = [value.value for value in values]
    if len(values) < LEAST_VALUES or (metric.is_time and min(numbers) <= 0):
        return []
    positive = min(numbers) > 0
    scores = modified_z([math.log(number) for number in numbers] if positive else numbers)
    middle = median(numbers)
    return [
        Doubt(
            run=value.run,
            kind="outlier",
            text=f"{_beside(value.value, middle, metric, positive)} (modified z {score:.3g})",
        )
        for value, score in zip(values, scores, strict=True)
        if abs(score) > limit(len(values))
    ]


def _beside(value: float, middle: float, metric: MetricRule, positive: bool) -> str:
    """Return a value beside its cell's median in words, and which of them is better."""
    if positive:
        text = f"{value / middle:.3g}x the cell's median"
    else:
        text = f"{value:.3g} {metric.unit}".rstrip() + f", the cell's median is {middle:.3g}"
    if metric.is_time or metric.direction is None:
        return text
    better = (value > middle) == (metric.direction == "higher")
    return f"{text} of {metric.name}, {'better' if better else 'worse'}"


def cpu_starved(runs: Sequence[Run]) -> list[Doubt]:
    """Return a mark for each run that waited: more wall time than its CPU time accounts for.

    From 5 runs that know both: log(wall / CPU) of the work is an outlier upwards, the CPU time
    itself is none, and the wall time is at least 1.1 times the cell's median.
    """
    known = [
        (run, run.phases["work"], run.worker_cpu)
        for run in runs
        if run.worker_cpu and run.phases.get("work")
    ]
    if len(known) < LEAST_VALUES:
        return []
    stretch = modified_z([math.log(wall / cpu) for _, wall, cpu in known])
    effort = modified_z([math.log(cpu) for _, _, cpu in known])
    usual, most = median(wall for _, wall, _ in known), limit(len(known))
    return [
        Doubt(
            run=run.run,
            kind="contention",
            text=f"{wall / usual:.3g}x the median wall time at the usual CPU time",
        )
        for (run, wall, _), high, own in zip(known, stretch, effort, strict=True)
        if high > most and abs(own) <= most and wall >= STRETCH * usual
    ]


def withheld(runs: Sequence[Run]) -> list[Doubt]:
    """Return a mark for each run from which more CPU time was withheld than from its cell's others.

    ``Run.contention`` says what share was stolen by the hypervisor or held back by a quota; a
    quota that is part of the worker's shape holds back from all runs alike.
    """
    found = []
    for name, word in (("steal", "stolen"), ("throttled", "throttled")):
        shares: Mapping[str, float] = {
            run.run: run.contention[name] for run in runs if name in run.contention
        }
        usual = median(shares.values()) if len(shares) >= LEAST_VALUES else 0.0
        if name == "throttled" and len(shares) < LEAST_VALUES:
            continue
        found += [
            Doubt(run=run, kind="contention", text=f"{share:.0%} of its CPU time was {word}")
            for run, share in shares.items()
            if share >= usual + WITHHELD
        ]
    return found


def doubts(
    runs: Sequence[Run], values: Sequence[RunValue], metric: MetricRule = TIME_RULE
) -> tuple[Doubt, ...]:
    """Return all marks of one cell's counted runs, in the order of the runs."""
    found = [*outliers(values, metric), *cpu_starved(runs), *withheld(runs)]
    return tuple(sorted(found, key=lambda one: one.run))
