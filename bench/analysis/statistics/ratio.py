"""How many times as large one side is as the other, with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from bench.analysis.statistics.interval import LARGEST_LOG, LEVEL, deviation, of_logs, t_quantile
from bench.analysis.statistics.types import Interval

PAIRED = "ratio of geometric means, paired t on log ratios within blocks"
WELCH = "ratio of geometric means, Welch t on log times"


def ratio(over: Sequence[float], base: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Return geometric mean of ``over`` / that of ``base`` (positive values) with an interval.

    None without positive values on both sides; without an interval where a side has one run only.
    Source: Welch, "The generalization of Student's problem when several different population
    variances are involved", Biometrika 34 (1947) 28-35, on the difference of mean logs, with the
    degrees of freedom of Satterthwaite, Biometrics Bulletin 2 (1946) 110-114, equation 17.
    """
    if not over or not base or min(*over, *base) <= 0:
        return None
    a, b = [math.log(x) for x in over], [math.log(x) for x in base]
    centre, n = fmean(a) - fmean(b), min(len(a), len(b))
    if n < 2:
        return Interval(
            mid=math.exp(min(centre, LARGEST_LOG)),
            method=WELCH,
            n=n,
            note="one run on a side, no interval",
        )
    va, vb = deviation(a) ** 2 / len(a), deviation(b) ** 2 / len(b)
    half = 0.0
    if va + vb > 0:
        scale = max(va, vb)
        pa, pb = va / scale, vb / scale
        freedom = (pa + pb) ** 2 / (pa**2 / (len(a) - 1) + pb**2 / (len(b) - 1))
        half = t_quantile(0.5 + level / 2, freedom) * math.sqrt(va + vb)
    return of_logs(centre, half, level=level, method=WELCH, n=n)


def paired(pairs: Sequence[tuple[float, float]], level: float = LEVEL) -> Interval:
    """Return the geometric mean of the ratios of two or more pairs of positive values.

    Source: Student, "The probable error of a mean", Biometrika 6 (1908) 1-25, the hours of
    sleep: t on the paired differences, here of log times.
    """
    logs = [_log(a, b) for a, b in pairs]
    n, centre = len(logs), fmean(logs)
    half = t_quantile(0.5 + level / 2, n - 1) * deviation(logs) / math.sqrt(n)
    return of_logs(centre, half, level=level, method=PAIRED, n=n)


def _log(a: float, b: float) -> float:
    """Return log(a / b), also where a float cannot hold a / b."""
    quotient = a / b
    return math.log(quotient) if 0 < quotient < math.inf else math.log(a) - math.log(b)
