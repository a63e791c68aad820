"""Values that stand out among a few."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median

LEAST_VALUES = 5  # before one of them can stand out
OUTLIER = 3.5  # modified z, the limit that Iglewicz and Hoaglin give for many values


def modified_z(values: Sequence[float]) -> list[float]:
    """Return 0.6745 (x - median) / MAD of each value; all 0 where the values are equal.

    Where half of the values are equal the MAD is 0, and 1.2533 times the mean absolute deviation
    stands in for it. Source: Iglewicz and Hoaglin, "How to Detect and Handle Outliers" (1993).
    """
    middle = median(values)
    away = [abs(value - middle) for value in values]
    scale = median(away) / 0.6745 or fmean(away) * 1.253314
    return [(value - middle) / scale if scale > 0 else 0.0 for value in values]


def limit(n: int) -> float:
    """Return the |modified z| above which one of ``n`` >= 5 values is an outlier.

    Iglewicz and Hoaglin's 3.5, raised where values are few: the MAD of five is often tiny by
    chance, and 3.5 would mark a run in one of five cells of plain lognormal noise. The factor is
    fitted to simulations, apart for odd and even n, so that it is one of twenty at any n.
    """
    return OUTLIER * (1 + (2.67 / (n - 2.95) if n % 2 else 2.56 / (n - 1.6)))
