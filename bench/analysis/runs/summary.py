"""Repeats of one cell -> one number with its interval, spread, phases and pipeline stages.

Intervals are made of run-level values: what varies between runs does not show within one. How
often they hold the truth at their level of 95 %, simulated (tests/analysis/test_coverage.py):
95 % under lognormal times at 3, 5, 10 and 20 runs; under heavy tails (log times Student t with 3
degrees of freedom) 96 % at 3 and 5 runs, where Student's t is a little wide, and 95 % at 10 and
20; where the number of repeats was chosen by the interval's width, 93.5 to 96.5 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

import msgspec

from bench.analysis.runs.doubts import doubts
from bench.analysis.runs.headline import headline, run_values
from bench.analysis.runs.metrics import TIME_RULE, MetricRule
from bench.analysis.runs.trends import warmup
from bench.analysis.runs.types import CellSummary, Counts, RunValue, Share
from bench.analysis.statistics.interval import LEVEL, estimate, variation
from bench.analysis.statistics.types import Interval
from bench.records.results import Run
from bench.records.study import PHASES
from bench.records.workload import STAGES


def count(runs: Iterable[Run], counted: Iterable[str]) -> Counts:
    """Count runs by status; ok runs whose id is not in ``counted`` are superseded."""
    ids = set(counted)
    found = list(runs)
    number = {
        status: sum(run.status == status for run in found)
        for status in ("failed", "timeout", "skipped")
    }
    fresh = sum(run.status == "ok" and run.run in ids for run in found)
    stale = sum(run.status == "ok" and run.run not in ids for run in found)
    return Counts(ok=fresh, superseded=stale, **number)


def phases(runs: Sequence[Run]) -> tuple[Share, ...]:
    """Return the median seconds of each phase over the runs that have it, in their order."""
    return _shares([dict(run.phases) for run in runs], (*PHASES[:4],))


def stages(runs: Sequence[Run]) -> tuple[Share, ...]:
    """Return the median wall seconds of each pipeline stage in the passes of the headline.

    A pass' seconds outside all stages are the stage ``other``.
    """
    return _shares([stage_seconds(run) for run in runs if run.stages], (*STAGES, "other"))


def stage_seconds(run: Run) -> dict[str, float]:
    """Return one run's median wall seconds by stage over the passes that make its headline."""
    numbers = range(max(1, run.warmups), len(run.passes)) or range(min(1, len(run.passes)))
    if not run.passes:
        numbers = range(1)
    found: dict[str, list[float]] = {}
    for number in numbers:
        walls: dict[str, float] = {}
        for stage in run.stages:
            if stage.number == number:
                walls[stage.name] = walls.get(stage.name, 0.0) + stage.wall
        if walls and number < len(run.passes):
            walls["other"] = max(0.0, run.passes[number] - sum(walls.values()))
        for name, wall in walls.items():
            found.setdefault(name, []).append(wall)
    return {name: median(values) for name, values in found.items()}


def _shares(rows: Sequence[dict[str, float]], order: Sequence[str]) -> tuple[Share, ...]:
    """Return the median of each name over the rows that have it; known names first."""
    extra = sorted({name for row in rows for name in row} - set(order) - {"teardown"})
    middles: dict[str, tuple[float, int]] = {}
    for name in (*order, *extra):
        values = [row[name] for row in rows if name in row]
        if values:
            middles[name] = (median(values), len(values))
    total = sum(value for value, _ in middles.values())
    return tuple(
        Share(name=name, seconds=value, share=value / total if total > 0 else None, n=n)
        for name, (value, n) in middles.items()
    )


def cell(
    identity: str,
    label: str,
    runs: Sequence[Run],
    counted: Sequence[Run],
    level: float = LEVEL,
    metric: MetricRule = TIME_RULE,
) -> CellSummary:
    """Summarize one point of the study: all its ``runs``, of which ``counted`` make the figures."""
    first = runs[0].cell
    found = [(run, headline(run, metric)) for run in counted]
    values = run_values(counted, metric)
    numbers = [value.value for value in values]
    metered = [run for run in counted if run.worker_cpu is not None]
    cpu = [run.worker_cpu for run in metered if run.worker_cpu is not None]
    wall = [run.phases["work"] for run in metered if "work" in run.phases]
    cold = [run.passes[0] for run in counted if run.passes]
    return CellSummary(
        id=identity,
        label=label,
        workload=first.workload,
        environment=first.environment,
        workers=first.workers,
        factors=first.factors,
        counts=count(runs, [run.run for run in counted]),
        metric=metric,
        which="; ".join(sorted({head.which for _, head in found if head is not None})),
        value=middle(numbers, metric, level),
        cv=variation(numbers),
        cold=median(cold) if cold else None,
        worker_cpu=median(cpu) if cpu else None,
        wall=median(wall) if wall else None,
        warmup=warmup(identity, counted),
        doubts=doubts(counted, values, metric),
        phases=phases(counted),
        stages=stages(counted),
        stages_mode=" and ".join(sorted({run.stages_mode for run in counted})),
        runs=values,
        note=_note(runs, counted, values, metric),
    )


def middle(values: Sequence[float], metric: MetricRule, level: float = LEVEL) -> Interval | None:
    """Return the middle of runs' numbers; None without any, and where one is a time of 0 s."""
    if metric.is_time and any(value <= 0 for value in values):
        return None
    found = estimate(values, level)
    if found is None:
        return None
    return msgspec.structs.replace(found, method=metric.method(found.method))


def _note(
    runs: Sequence[Run], counted: Sequence[Run], values: Sequence[RunValue], metric: MetricRule
) -> str:
    """Say in words what keeps a cell from having a number, or part of its runs from counting."""
    what = "time of its work" if metric.is_time else metric.name
    if not counted:
        last = max(runs, key=lambda run: run.run)
        if last.status == "ok":
            return f"no run reports the {what}"
        return f"no run ended ok; the last one {last.status}: {last.reason or 'no reason given'}"
    if metric.is_time and any(value.value <= 0 for value in values):
        return "a run reports a time of 0 s, so no middle is given"
    if not values:
        return f"no run reports the {what}"
    if len(values) < len(counted):
        return f"{len(counted) - len(values)} ok runs report no {what}"
    return ""
