"""Two sides' runs, block by block where they were measured so, and the ratio of their numbers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from bench.analysis.runs.metrics import MetricRule
from bench.analysis.runs.types import RunValue
from bench.analysis.statistics.interval import LEVEL
from bench.analysis.statistics.ratio import paired, ratio
from bench.analysis.statistics.types import Interval


def compared(
    over: Sequence[RunValue], base: Sequence[RunValue], level: float = LEVEL
) -> Interval | None:
    """Return how many times as large ``over`` is as ``base``, with an interval where possible.

    Where both ran in the same blocks, slow drift of the machine falls on both sides of each ratio
    and cancels (``paired``); otherwise all runs count as independent (``ratio``). None where a
    number is not positive: of such there are no ratios.
    """
    pairs = blocks(over, base)
    if pairs is None:
        return ratio([run.value for run in over], [run.value for run in base], level)
    return paired(pairs, level)


def gain(
    now: Sequence[RunValue],
    before: Sequence[RunValue],
    metric: MetricRule,
    level: float = LEVEL,
) -> Interval | None:
    """Return how many times as good ``now`` is as ``before``: above 1 is better.

    Of a time, a latency, a loss that is before over now, of a throughput now over before. None
    where no manifest declares which direction is better.
    """
    if metric.direction is None:
        return None
    pair = (now, before) if metric.direction == "higher" else (before, now)
    return compared(*pair, level)


def blocks(over: Sequence[RunValue], base: Sequence[RunValue]) -> list[tuple[float, float]] | None:
    """Return both sides' numbers repeat by repeat, or None where they are no complete blocks.

    They are where both have the same two or more repeats once, each pair in one session, and one
    pair ended before the next began (ids of runs sort by time): a repeat that was run again later,
    or a side that was measured as a whole after the other, makes no block.
    """
    left, right = ({run.repeat: run for run in side} for side in (over, base))
    whole = len(left) == len(over) > 1 and len(right) == len(base) and left.keys() == right.keys()
    if not whole or None in left or min(run.value for run in (*over, *base)) <= 0:
        return None
    pairs = sorted(((left[repeat], right[repeat]) for repeat in left), key=lambda pair: pair[0].run)
    apart = all(
        max(run.run for run in pair) < min(run.run for run in later)
        for pair, later in itertools.pairwise(pairs)
    )
    if not apart or any(a.session != b.session for a, b in pairs):
        return None
    return [(a.value, b.value) for a, b in pairs]
