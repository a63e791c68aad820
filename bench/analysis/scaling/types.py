"""The headline metric over worker count. A missing figure is ``None``, never 0."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bench.analysis.runs.metrics import TIME_RULE, MetricRule
from bench.analysis.runs.types import CellSummary
from bench.analysis.statistics.types import Interval
from bench.records.values import Scalar


class CurvePoint(msgspec.Struct, frozen=True, kw_only=True):
    """A cell as a point of its curve; ``ideal`` is the value of perfect scaling from the first
    point that has one, for metrics that scale with the workers; ``speedup`` above 1 is better.
    """

    cell: CellSummary
    ideal: float | None = None
    speedup: Interval | None = None
    efficiency: Interval | None = None


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """A metric over worker count of one workload in one environment, all else equal.

    ``label`` names the curve, and no other of the study; ``base`` is the worker count that
    speed-up refers to.
    """

    label: str
    workload: str
    environment: str
    metric: MetricRule = TIME_RULE
    engine: str | None = None
    task: str | None = None
    dataset: str = ""
    factors: Mapping[str, Scalar] = {}
    points: tuple[CurvePoint, ...] = ()
    base: int | None = None


class Scaling(msgspec.Struct, frozen=True, kw_only=True):
    """The curves of a study, sorted by task, engine, workload, environment and factors."""

    curves: tuple[Curve, ...] = ()

    @property
    def points(self) -> tuple[CurvePoint, ...]:
        """Return the points of all curves: every cell of the study once."""
        return tuple(point for curve in self.curves for point in curve.points)
