"""What comparison returns."""

from __future__ import annotations

from typing import Literal

import msgspec

from bench.analysis.runs.metrics import TIME_RULE, MetricRule
from bench.analysis.statistics.types import Interval

VerdictScope = Literal["within", "across"]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Something that differs: its name and both values; ``allowed`` says that it does not matter
    for equality, and ``note`` why (or how far apart they are).
    """

    name: str
    left: str
    right: str
    allowed: bool = False
    note: str = ""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A quality figure of both sides, their largest difference and the tolerance it was held to."""

    name: str
    left: float
    right: float
    difference: float
    tolerance: float
    passed: bool


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether runs did the same work: True, False, or None where it cannot be proven.

    ``left`` and ``right`` are labels of curves (equal within one curve). ``reasons`` say in words
    what stands against it or what is missing; ``notes`` what else is good to know; ``accepted``
    names the differences that would stand against it, had the reader not accepted them.
    """

    scope: VerdictScope
    left: str
    right: str
    comparable: bool | None
    reasons: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    checks: tuple[Check, ...] = ()
    accepted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """How many times ``right``'s number of the metric is ``left``'s, at one worker count.

    ``left`` and ``right`` are labels of curves; of time, it is how many times as long.
    ``accepted`` are the differences that the reader accepted for it.
    """

    left: str
    right: str
    workers: int
    ratio: Interval
    metric: MetricRule = TIME_RULE
    accepted: tuple[str, ...] = ()


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Verdicts within and across the curves of each task, and ratios of those that compare."""

    verdicts: tuple[Verdict, ...] = ()
    ratios: tuple[Ratio, ...] = ()

    def contradicts(self, label: str) -> bool:
        """Say whether the runs of this curve are known not to be the same work."""
        return any(
            one.scope == "within" and one.left == label and one.comparable is False
            for one in self.verdicts
        )
