"""Two sides' runs, block by block where they were measured so, and the ratio of their times."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from bench.analysis.runs.types import RunValue
from bench.analysis.statistics.interval import LEVEL
from bench.analysis.statistics.ratio import paired, ratio
from bench.analysis.statistics.types import Interval


def compared(
    over: Sequence[RunValue], under: Sequence[RunValue], level: float = LEVEL
) -> Interval | None:
    """Return how many times as long ``over`` takes as ``under``, with an interval where possible.

    Where both ran in the same blocks, slow drift of the machine falls on both sides of each ratio
    and cancels (``paired``); otherwise all runs count as independent (``ratio``).
    """
    pairs = blocks(over, under)
    if pairs is None:
        return ratio([one.seconds for one in over], [one.seconds for one in under], level)
    return paired(pairs, level)


def blocks(over: Sequence[RunValue], under: Sequence[RunValue]) -> list[tuple[float, float]] | None:
    """Return both sides' times (s) repeat by repeat, or None where they are no complete blocks.

    They are where both have the same two or more repeats once, each pair in one session, and one
    pair ended before the next began (ids of runs sort by time): a repeat that was run again later,
    or a side that was measured as a whole after the other, makes no block.
    """
    left, right = ({one.repeat: one for one in side} for side in (over, under))
    whole = len(left) == len(over) > 1 and len(right) == len(under) and left.keys() == right.keys()
    if not whole or None in left or min(one.seconds for one in (*over, *under)) <= 0:
        return None
    pairs = sorted(((left[repeat], right[repeat]) for repeat in left), key=lambda pair: pair[0].run)
    apart = all(
        max(one.run for one in pair) < min(one.run for one in later)
        for pair, later in itertools.pairwise(pairs)
    )
    if not apart or any(a.session != b.session for a, b in pairs):
        return None
    return [(a.seconds, b.seconds) for a, b in pairs]
