"""One number of many: means and quantiles of plain values and of histograms."""

from __future__ import annotations

import math
from collections.abc import Sequence

Bins = tuple[Sequence[float], Sequence[int]]  # rising edges, and the counts between them


def quantile(values: Sequence[float], share: float, bins: Sequence[Bins] = ()) -> float:
    """Return the value below which a ``share`` (0..1) of all values is.

    Plain values: linear interpolation at 1 + (n - 1) share, which is definition 7 of Hyndman and
    Fan, "Sample quantiles in statistical packages", The American Statistician 50 (1996) 361-365,
    and numpy's default. With histograms: values are spread evenly over their bin, so the
    distribution is linear inside it, and the quantile is where it reaches share x n. It is off by
    the width of that bin at most. ValueError without any value.
    """
    if not count(values, bins):
        raise ValueError("a quantile needs at least one value")
    if any(sum(counts) for _, counts in bins):
        return _spread(values, share, bins)
    ordered = sorted(values)
    at = (len(ordered) - 1) * share
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def _spread(values: Sequence[float], share: float, bins: Sequence[Bins]) -> float:
    """Return where the summed distribution of values (steps) and bins (slopes) reaches a share."""
    import numpy as np

    ordered = np.sort(np.asarray(values, dtype=np.float64))
    edges = [np.asarray(rising, dtype=np.float64) for rising, _ in bins]
    points = np.unique(np.concatenate([ordered, *edges]))
    slopes = np.zeros(len(points))
    for rising, (_, counts) in zip(edges, bins, strict=True):
        slopes += np.interp(points, rising, np.concatenate([[0.0], np.cumsum(counts)]))
    before = slopes + np.searchsorted(ordered, points, side="left")
    after = slopes + np.searchsorted(ordered, points, side="right")
    wanted = share * count(values, bins)
    at = min(int(np.searchsorted(after, wanted, side="left")), len(points) - 1)
    if at == 0 or before[at] <= wanted:
        return float(points[at])
    part = (wanted - after[at - 1]) / (before[at] - after[at - 1])
    return float(points[at - 1] + part * (points[at] - points[at - 1]))


def count(values: Sequence[float], bins: Sequence[Bins] = ()) -> int:
    """Return how many values there are."""
    return len(values) + sum(sum(counts) for _, counts in bins)


def total(values: Sequence[float], bins: Sequence[Bins] = ()) -> float:
    """Return the sum of all values; a binned one counts as the middle of its bin."""
    parts = [
        number * (low + high) / 2
        for edges, counts in bins
        for low, high, number in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    return math.fsum([*values, *parts])


def ends(values: Sequence[float], bins: Sequence[Bins] = ()) -> tuple[float, float]:
    """Return the least and the largest value; of a histogram the outer edges of what is in it."""
    spans = [
        (low, high)
        for edges, counts in bins
        for low, high, number in zip(edges[:-1], edges[1:], counts, strict=True)
        if number
    ]
    lows = [*values, *(low for low, _ in spans)]
    highs = [*values, *(high for _, high in spans)]
    return min(lows), max(highs)
