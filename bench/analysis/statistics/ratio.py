"""How many times as long one side takes as the other, with an interval."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from statistics import fmean

from bench.analysis.runs.types import RunValue
from bench.analysis.statistics.interval import LEVEL, deviation, t_quantile
from bench.analysis.statistics.types import Interval

PAIRED = "ratio of geometric means, paired t on log ratios within blocks"
WELCH = "ratio of geometric means, Welch t on log times"


def ratio(over: Sequence[float], under: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Return geometric mean of ``over`` / that of ``under`` (positive times, s) with an interval.

    None without times on both sides; without an interval where a side has one run only. Source:
    Welch, "The generalization of Student's problem when several different population variances
    are involved", Biometrika 34 (1947) 28-35, on the difference of mean log times, with the
    degrees of freedom of Satterthwaite, Biometrics Bulletin 2 (1946) 110-114, equation 17.
    """
    if not over or not under or min(*over, *under) <= 0:
        return None
    a, b = [math.log(x) for x in over], [math.log(x) for x in under]
    centre, n = fmean(a) - fmean(b), min(len(a), len(b))
    if n < 2:
        return Interval(
            mid=math.exp(centre), method=WELCH, n=n, note="one run on a side, no interval"
        )
    va, vb = deviation(a) ** 2 / len(a), deviation(b) ** 2 / len(b)
    half = 0.0
    if va + vb > 0:
        scale = max(va, vb)
        pa, pb = va / scale, vb / scale
        freedom = (pa + pb) ** 2 / (pa**2 / (len(a) - 1) + pb**2 / (len(b) - 1))
        half = t_quantile(0.5 + level / 2, freedom) * math.sqrt(va + vb)
    return Interval(
        mid=math.exp(centre),
        low=math.exp(centre - half),
        high=math.exp(centre + half),
        level=level,
        method=WELCH,
        n=n,
    )


def compared(
    over: Sequence[RunValue], under: Sequence[RunValue], level: float = LEVEL
) -> Interval | None:
    """Return how many times as long ``over`` takes as ``under``, with an interval where possible.

    Where both ran in the same blocks, slow drift of the machine falls on both sides of each ratio
    and cancels: paired t on the log ratios of blocks (Student, "The probable error of a mean",
    Biometrika 6 (1908) 1-25, the hours of sleep). Else as ``ratio``, which takes all runs as
    independent.
    """
    pairs = blocks(over, under)
    if pairs is None:
        return ratio([one.seconds for one in over], [one.seconds for one in under], level)
    logs = [math.log(a / b) for a, b in pairs]
    n, centre = len(logs), fmean(logs)
    half = t_quantile(0.5 + level / 2, n - 1) * deviation(logs) / math.sqrt(n)
    return Interval(
        mid=math.exp(centre),
        low=math.exp(centre - half),
        high=math.exp(centre + half),
        level=level,
        method=PAIRED,
        n=n,
    )


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
