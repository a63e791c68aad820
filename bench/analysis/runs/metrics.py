"""How a metric is read: its unit, which direction is better, what makes one number of a pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from bench.records.metrics import BUILT_IN, TIME, Aggregate, Direction
from bench.records.results import Bundle, Run

PER_TIME = ("/s", "/min", "/h")  # the ends of a rate's unit


class MetricRule(msgspec.Struct, frozen=True, kw_only=True):
    """A metric's name, unit, better ``direction`` and ``aggregate`` over the values of a pass.

    ``direction`` is None where no manifest declares the metric: then nothing is called better.
    """

    name: str
    unit: str = ""
    direction: Direction | None = None
    aggregate: Aggregate = "median"

    @property
    def is_time(self) -> bool:
        """Say whether it is the wall time of a pass."""
        return self.name == TIME

    @property
    def scales(self) -> bool:
        """Say whether n times the workers ideally change it n-fold: time, and higher rates.

        Nothing says how a latency, a loss or a score ought to follow the worker count.
        """
        return self.is_time or (self.direction == "higher" and self.unit.endswith(PER_TIME))

    def method(self, text: str) -> str:
        """Return the name of a statistical method, whose values are times unless said otherwise."""
        return text if self.is_time else text.replace("log times", "log values")


TIME_RULE = MetricRule(name=TIME, unit="s", direction="lower")


def rule_for(metric: str, runs: Iterable[Run], bundles: Mapping[str, Bundle]) -> MetricRule:
    """Return how a metric of these runs is read: as their bundle (by digest) declares it.

    A metric that every workload has needs no bundle; of one that no bundle declares (results of
    schema 1) the runs tell the unit, and nobody the direction.
    """
    if metric in BUILT_IN:
        return TIME_RULE
    unit = ""
    for run in runs:
        bundle = bundles.get(run.digests.bundle) if run.digests else None
        if bundle is not None and metric in bundle.metrics:
            stated = bundle.metrics[metric]
            return MetricRule(
                name=metric,
                unit=stated.unit,
                direction=stated.direction,
                aggregate=stated.aggregate,
            )
        unit = unit or next((one.unit for one in run.measurements if one.metric == metric), "")
    return MetricRule(name=metric, unit=unit)


def names(runs: Iterable[Run], bundles: Mapping[str, Bundle]) -> list[str]:
    """Return the metrics that runs report or their bundles declare: time, then by name."""
    found: set[str] = set()
    for run in runs:
        found |= {one.metric for one in run.measurements}
        bundle = bundles.get(run.digests.bundle) if run.digests else None
        found |= set(bundle.metrics) if bundle is not None else set()
    return [TIME, *sorted(found - {TIME})]


def shared(rules: Sequence[MetricRule], metric: str) -> MetricRule:
    """Return one rule for several curves; unit and direction only where they agree."""
    units, directions = {one.unit for one in rules}, {one.direction for one in rules}
    if metric == TIME:
        return TIME_RULE
    return MetricRule(
        name=metric,
        unit=units.pop() if len(units) == 1 else "",
        direction=directions.pop() if len(directions) == 1 else None,
    )
