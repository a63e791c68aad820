"""The one number that stands for a run, of any metric."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from bench.analysis.runs.metrics import TIME_RULE, MetricRule
from bench.analysis.runs.types import Headline, RunValue
from bench.analysis.statistics import quantile
from bench.records.metrics import Aggregate
from bench.records.results import Measurement, Run

ONLY = "cold pass 0, the only one"


def headline(run: Run, metric: MetricRule = TIME_RULE) -> Headline | None:
    """Return the run's number of a metric; None where the run is not ok or did not report it.

    Time (s): the median of the passes from max(1, ``warmups``) on, else the cold pass 0 if it is
    the only one; without any pass the phase ``work``. Another metric: the metric's aggregate over
    all values of each of these passes, then the median over the passes. Measurements without a
    pass make one together, which counts.
    """
    if run.status != "ok":
        return None
    if metric.is_time:
        return _time(run)
    reported = [one for one in run.measurements if one.metric == metric.name]
    return _of(run, metric, reported)


def by_item(run: Run, metric: MetricRule) -> dict[str, Headline]:
    """Return the run's number of a metric for each item (query, batch, window) that has one."""
    if run.status != "ok":
        return {}
    reported: dict[str, list[Measurement]] = {}
    for one in run.measurements:
        if one.metric == metric.name and one.item is not None:
            reported.setdefault(one.item, []).append(one)
    numbers = {item: _of(run, metric, own) for item, own in reported.items()}
    return {item: number for item, number in numbers.items() if number is not None}


def run_values(runs: Iterable[Run], metric: MetricRule = TIME_RULE) -> tuple[RunValue, ...]:
    """Return the headline values of the runs that have one."""
    return tuple(
        RunValue(run=run.run, value=head.value, repeat=run.cell.repeat, session=run.session)
        for run in runs
        if (head := headline(run, metric)) is not None
    )


def _time(run: Run) -> Headline | None:
    first, last = max(1, run.warmups), len(run.passes) - 1
    counted = run.passes[first:]
    if counted:
        which = f"pass {first}" if last == first else f"median of passes {first} to {last}"
        return Headline(value=median(counted), unit="s", which=which)
    if len(run.passes) == 1:
        return Headline(value=run.passes[0], unit="s", which=ONLY)
    if not run.passes and "work" in run.phases:
        which = "whole work, no passes reported"
        return Headline(value=run.phases["work"], unit="s", which=which)
    return None


def _of(run: Run, metric: MetricRule, reported: Sequence[Measurement]) -> Headline | None:
    passes: dict[int | None, list[Measurement]] = {}
    for one in reported:
        passes.setdefault(one.number, []).append(one)
    first = max(1, run.warmups)
    numbers = sorted(number for number in passes if number is not None and number >= first)
    chosen: list[int | None] = [*numbers, *([None] if None in passes else [])]
    if not chosen and set(passes) == {0} and len(run.passes) <= 1:
        chosen = [0]
    values = [
        value
        for number in chosen
        if (value := _aggregated(metric.aggregate, passes[number])) is not None
    ]
    if not values:
        return None
    unit = metric.unit or reported[0].unit
    which = f"{metric.aggregate} of {_scope(numbers, chosen)}"
    if len(chosen) > 1:
        which = f"median of the {which}"
    return Headline(value=median(values), unit=unit, which=which)


def _scope(numbers: Sequence[int], chosen: Sequence[int | None]) -> str:
    """Name the passes that a number was made of."""
    if chosen == [0]:
        return ONLY
    if not numbers:
        return "what the run reported outside its passes"
    outside = " and of what is outside them" if None in chosen else ""
    span = f"pass {numbers[0]}"
    if len(numbers) > 1:
        span = f"passes {numbers[0]} to {numbers[-1]}"
    return f"{span}{outside}"


def _aggregated(aggregate: Aggregate, reported: Sequence[Measurement]) -> float | None:
    """Return one number of a pass' values and histograms; None where there are no values."""
    values = [value for one in reported for value in one.values]
    bins = [(one.histogram.edges, one.histogram.counts) for one in reported if one.histogram]
    count = quantile.count(values, bins)
    if not count:
        return None
    match aggregate:
        case "mean":
            return quantile.total(values, bins) / count
        case "sum":
            return quantile.total(values, bins)
        case "min":
            return quantile.ends(values, bins)[0]
        case "max":
            return quantile.ends(values, bins)[1]
        case "median":
            return quantile.quantile(values, 0.5, bins)
        case _:
            return quantile.quantile(values, int(aggregate[1:]) / 100, bins)
