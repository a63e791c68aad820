"""Whether times rise or fall with their order."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from bench.analysis.statistics.types import Trend

METHOD = "seasonal Kendall test on log times"
ALPHA = 0.01  # a page holds many of these tests
LEAST_VALUES = 10  # below, the normal approximation of S is too rough

Point = tuple[float, float]  # position in the order, seconds


def trend(scope: str, groups: Iterable[Sequence[Point]]) -> Trend | None:
    """Test whether times rise or fall with their position, within each group, combined over all.

    A group is what is alike but for its position: the runs of one cell, the passes of one run.
    Its points are (position, seconds > 0). Kendall's S is summed over the groups, and so are the
    variances, with the correction for ties; z = (S - sign S) / sd, two-sided p from the normal
    distribution. Source: Hirsch, Slack and Smith, "Techniques of trend analysis for monthly water
    quality data", Water Resources Research 18 (1982) 107-121; the change is that of their slope
    estimator (the median of all slopes within groups, after Sen, JASA 63 (1968) 1379-1389) from
    the first position to the last, as a share (0.1 = 10 % longer).

    None with fewer than ``LEAST_VALUES`` points in groups of two or more, or all of them equal.
    """
    score, spread, slopes, positions = 0, 0.0, [], []
    for group in groups:
        if len(group) < 2:
            continue
        positions += [position for position, _ in group]
        logs = sorted((position, math.log(seconds)) for position, seconds in group)
        for (x, a), (y, b) in itertools.combinations(logs, 2):
            score += (b > a) - (b < a)
            slopes.append((b - a) / (y - x))
        spread += _variance([value for _, value in logs])
    if len(positions) < LEAST_VALUES or spread <= 0:
        return None
    z = (score - (score > 0) + (score < 0)) / math.sqrt(spread)
    p = math.erfc(abs(z) / math.sqrt(2))
    change = math.expm1(median(slopes) * (max(positions) - min(positions)))
    return Trend(scope=scope, p=p, change=change, found=p < ALPHA, n=len(positions), method=METHOD)


def _variance(values: Sequence[float]) -> float:
    """Return the variance of Kendall's S without a trend: n values, ties of t of them."""
    n = len(values)
    ties = sum(t * (t - 1) * (2 * t + 5) for t in Counter(values).values())
    return (n * (n - 1) * (2 * n + 5) - ties) / 18
