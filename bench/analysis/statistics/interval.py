"""Intervals around the middle of a few numbers.

How often they hold the truth at their level of 95 %, simulated (tests/analysis/test_coverage.py):
95 % under lognormal times at 3, 5, 10 and 20 runs; under heavy tails (log times Student t with 3
degrees of freedom) 96 % at 3 and 5 runs, where Student's t is a little wide, and 95 % at 10 and
20; where the number of repeats was chosen by the interval's width, 93.5 to 96.5 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median, stdev

import msgspec

from bench.analysis.statistics.types import Interval

LEVEL = 0.95
MEDIAN_FROM = 10  # runs from which the median's interval is narrow enough to be of use

LARGEST_LOG = 709.0  # of a float
GEOMETRIC = "geometric mean, Student t on log times"
PLAIN = "mean, Student t on plain values"
MEDIAN = "median, interpolated order statistics"
SINGLE = "one run, no interval"


def estimate(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Return the middle of runs' values with its confidence interval; None without any.

    Below 10 runs the geometric mean with Student's t on logs, or the mean with Student's t on the
    values themselves where one of them is not positive; from 10 runs on the median with
    interpolated order statistics, which asks for no sign. One run has no interval.
    """
    if not values:
        return None
    if len(values) == 1:
        return Interval(mid=values[0], method=SINGLE, n=1)
    if len(values) >= MEDIAN_FROM:
        return median_interval(values, level)
    return geometric_mean(values, level) if min(values) > 0 else plain_mean(values, level)


def plain_mean(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Return the mean of at least two values of any sign with a t interval.

    Source: Student, "The probable error of a mean", Biometrika 6 (1908) 1-25.
    """
    n, centre = len(values), fmean(values)
    half = t_quantile(0.5 + level / 2, n - 1) * deviation(values) / math.sqrt(n)
    return Interval(
        mid=centre,
        low=centre - half,
        high=centre + half,
        level=level,
        method=PLAIN,
        n=n,
        note="all runs are equal" if half == 0 else "",
    )


def geometric_mean(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Return the geometric mean of at least two positive values with a t interval on their logs.

    Source: Student, "The probable error of a mean", Biometrika 6 (1908) 1-25, applied to
    log(value); exact where values are lognormal.
    """
    n = len(values)
    logs = [math.log(value) for value in values]
    centre = fmean(logs)
    half = t_quantile(0.5 + level / 2, n - 1) * deviation(logs) / math.sqrt(n)
    note = "all runs are equal" if half == 0 else ""
    return of_logs(centre, half, level=level, method=GEOMETRIC, n=n, note=note)


def of_logs(
    centre: float, half: float, *, level: float, method: str, n: int, note: str = ""
) -> Interval:
    """Return exp(centre) with exp(centre -+ half); no interval where a float cannot hold it."""
    if centre + half > LARGEST_LOG:
        note = "the values are too large or too far apart for an interval"
        return Interval(mid=math.exp(min(centre, LARGEST_LOG)), method=method, n=n, note=note)
    return Interval(
        mid=math.exp(centre),
        low=math.exp(centre - half),
        high=math.exp(centre + half),
        level=level,
        method=method,
        n=n,
        note=note,
    )


def median_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Return the median with a distribution-free interval from interpolated order statistics.

    Source: Hettmansperger and Sheather, "Confidence intervals based on interpolated order
    statistics", Statistics & Probability Letters 4 (1986) 75-79, equation for lambda. Where the
    whole range attains less than ``level``, the range is given with the level it attains.
    """
    ordered = sorted(values)
    n = len(ordered)
    mid = median(ordered)
    if _coverage(n, 1) <= level or n < 3:
        attained = _coverage(n, 1)
        low, high, note = ordered[0], ordered[-1], "the whole range of the runs"
    else:
        k = max(k for k in range(1, (n + 1) // 2 + 1) if _coverage(n, k) >= level)
        outer, inner = _coverage(n, k), _coverage(n, k + 1)
        part = (outer - level) / (outer - inner)
        weight = (n - k) * part / (k + (n - 2 * k) * part)
        low = (1 - weight) * ordered[k - 1] + weight * ordered[min(k, n - 1)]
        high = (1 - weight) * ordered[n - k] + weight * ordered[max(n - k - 1, 0)]
        low, high, attained = min(low, mid), max(high, mid), level
        note = f"between the exact levels {inner:.4g} and {outer:.4g}"
    return Interval(mid=mid, low=low, high=high, level=attained, method=MEDIAN, n=n, note=note)


def _coverage(n: int, k: int) -> float:
    """Return the level (0..1) of the interval from the k-th smallest to the k-th largest of n."""
    tail = sum(math.comb(n, i) for i in range(k))
    return float(max(0.0, 1 - 2 * tail / 2**n))


def deviation(values: Sequence[float]) -> float:
    """Return the sample standard deviation (n - 1) of at least two values."""
    if min(values) == max(values):
        return 0.0
    centre = fmean(values)
    return math.sqrt(math.fsum((x - centre) ** 2 for x in values) / (len(values) - 1))


def t_quantile(probability: float, freedom: float) -> float:
    """Return Student's t quantile (Student 1908) for a possibly fractional ``freedom`` > 0."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def variation(values: Sequence[float]) -> float | None:
    """Return the coefficient of variation, sample sd over mean (0.1 = 10 %).

    None below 2 runs, and where a value is not positive: such a scale has no natural zero.
    """
    return stdev(values) / fmean(values) if len(values) > 1 and min(values) > 0 else None


def reciprocal(ratio: Interval) -> Interval:
    """Return the interval of 1 / ratio (positive): how fast instead of how long, or the reverse."""
    return msgspec.structs.replace(
        ratio,
        mid=1 / ratio.mid,
        low=None if ratio.high is None else 1 / ratio.high,
        high=None if ratio.low is None else 1 / ratio.low,
    )


def decided(ratio: Interval) -> bool:
    """Say whether a ratio's interval excludes 1, or there is none that could include it."""
    return ratio.low is None or ratio.high is None or not ratio.low <= 1 <= ratio.high
