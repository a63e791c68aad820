"""What so many repeats can show: the noise of runs and the smallest effect they detect."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from bench.analysis.statistics.interval import deviation, t_quantile
from bench.analysis.statistics.types import Effect, Noise

ALPHA = 0.05  # two-sided
POWER = 0.8
GUESS = 0.05  # sd of log time where nothing was measured yet: about 5 % from run to run
METHOD = "paired t test on log times, noncentral t"


def noise(groups: Iterable[Sequence[float]]) -> Noise:
    """Return the standard deviation of log values from run to run, pooled over cells.

    Each group are positive values (times, rates) of equal cells in one session; variances are
    pooled with n - 1 as weights. Without a group of two the stated guess of 5 %, with ``runs`` 0.
    """
    total, freedom, runs = 0.0, 0, 0
    for group in groups:
        if len(group) >= 2:
            total += (len(group) - 1) * deviation([math.log(value) for value in group]) ** 2
            freedom += len(group) - 1
            runs += len(group)
    if not freedom:
        return Noise(sd=GUESS, runs=0)
    return Noise(sd=math.sqrt(total / freedom), runs=runs)


def detectable(
    repeats: int,
    spread: Noise,
    alpha: float = ALPHA,
    power: float = POWER,
    *,
    fall: bool = False,
) -> Effect | None:
    """Return the smallest change for the worse that ``repeats`` runs of two cells detect.

    Both cells have the same noise and are compared block by block, as reports do: d, the
    difference of mean log times over sqrt(2) sd, is the smallest whose noncentral t with n - 1
    degrees of freedom and noncentrality d sqrt(n) exceeds the critical t, on either side, with
    the power wanted. Source: Cohen, "Statistical Power Analysis for the Behavioral Sciences",
    2nd ed. (1988), chapter 2, matched pairs. ``change`` is exp(difference) - 1: 0.1 is 10 %
    longer; with ``fall``, where less is worse, exp(-difference) - 1: -0.1 is 10 % less. None below
    two repeats.
    """
    if repeats < 2:
        return None
    low, high = 0.0, 1.0
    while _power(high, repeats, alpha) < power:
        low, high = high, 2 * high
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if _power(middle, repeats, alpha) >= power else (middle, high)
    return Effect(
        change=math.expm1((-1 if fall else 1) * high * math.sqrt(2) * spread.sd),
        repeats=repeats,
        alpha=alpha,
        power=power,
        noise=spread,
        method=METHOD,
    )


def _power(d: float, n: int, alpha: float) -> float:
    """Return the chance that a paired t test of n pairs finds a difference of d deviations."""
    from scipy.special import nctdtr

    limit, centre = t_quantile(1 - alpha / 2, n - 1), d * math.sqrt(n)
    upper = 1 - float(nctdtr(n - 1, centre, limit))
    return upper + float(nctdtr(n - 1, centre, -limit))
