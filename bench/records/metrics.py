"""Metrics: a workload's figures, their units, and which direction is better."""

from __future__ import annotations

from typing import Literal

import msgspec

Direction = Literal["lower", "higher"]
Aggregate = Literal["median", "mean", "sum", "min", "max", "p90", "p95", "p99"]


class Metric(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A figure that a workload reports: its unit, and which direction is better.

    ``aggregate`` makes one number of the values of a pass (its items, windows or batches); a
    run's number is the median of its counted passes.
    """

    unit: str = ""
    direction: Direction
    aggregate: Aggregate = "median"
    help: str = ""


TIME = "time"  # every workload has it: the wall time of a pass, in seconds
BUILT_IN = {
    TIME: Metric(unit="s", direction="lower", help="wall time of the work, a pass"),
}
