"""Simulations with known truth: how often intervals of 95 % hold it, seeds fixed.

Each figure is a share of 4,000 campaigns, so its standard error is 0.35 %. Two kinds of noise:
lognormal times, and heavy tails (log times Student t with 3 degrees of freedom). The target is 93
to 97 %; no case is excepted. Heavy tails at 3 and 5 runs come out at 96 %: Student's t is a
little wide there, and no estimator was found that is nearer and still exact for lognormal times.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import stdtrit

from bench.analysis.runs.blocks import compared
from bench.analysis.runs.types import RunValue
from bench.analysis.statistics import interval, ratio
from bench.analysis.statistics.types import Interval
from bench.plan import Auto
from bench.plan.auto import EXTRA_BLOCKS, STOPPING_LEVEL, width_of
from bench.plan.progress import Index
from bench.records.study import LEAST_BLOCKS
from tests.analysis.factory import Maker, case, session

pytestmark = pytest.mark.slow

Array = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]

CAMPAIGNS = 4000
LOW, HIGH = 0.93, 0.97
TRUTH = 10.0  # s
NOISE: dict[str, Draw] = {
    "lognormal": lambda rng, shape: rng.standard_normal(shape),
    "heavy tails": lambda rng, shape: rng.standard_t(3, shape),
}


def holds(found: Interval | None, truth: float) -> bool:
    """Say whether an interval holds the truth; there must be one."""
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    return found.low <= truth <= found.high


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("n", [3, 5, 10, 20])
def test_intervals_of_times(noise: str, n: int) -> None:
    rng = np.random.default_rng([n, 1])
    times = TRUTH * np.exp(0.05 * NOISE[noise](rng, (CAMPAIGNS, n)))
    share = np.mean([holds(interval.estimate(row), TRUTH) for row in times.tolist()])
    assert LOW <= share <= HIGH


# Repeats by width: the number of runs depends on the runs.


def lengths(
    logs: Array, width: float, level: float = STOPPING_LEVEL, extra: int = EXTRA_BLOCKS
) -> list[int]:
    """Return how many blocks each campaign makes; ``logs`` are (campaigns, cells, most blocks).

    The rule of ``Auto`` in array form; another level and extra blocks show what these are for.
    """
    most = logs.shape[2]
    found = np.full(len(logs), most)
    going = np.ones(len(logs), bool)
    for n in range(LEAST_BLOCKS, most):
        spread = logs[:, :, :n].std(axis=2, ddof=1) / math.sqrt(n)
        widths = 2 * np.sinh(stdtrit(n - 1, 0.5 + level / 2) * spread)
        stop = going & (widths <= width).all(axis=1)
        found[stop] = min(most, n + extra)
        going &= ~stop
    return [int(one) for one in found]


def by_width(noise: str, ratio: float, most: int, level: float, extra: int) -> tuple[float, float]:
    """Return coverage, and the share of campaigns below the limit whose final interval is narrow.

    ``ratio`` is the noise's scale over the width wanted.
    """
    rng, width = np.random.default_rng([most, int(100 * ratio)]), 0.05
    logs = width * ratio * NOISE[noise](rng, (CAMPAIGNS, 1, most))
    hits, narrow = [], []
    for row, n in zip(np.exp(logs[:, 0]).tolist(), lengths(logs, width, level, extra), strict=True):
        found = interval.estimate(row[:n])
        hits.append(holds(found, 1.0))
        if n < most and found is not None and found.low is not None and found.high is not None:
            narrow.append((found.high - found.low) / found.mid <= width)
    return float(np.mean(hits)), float(np.mean(narrow)) if narrow else math.nan


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("most", [6, 20, 60])
def test_intervals_where_repeats_end_by_width(noise: str, most: int) -> None:
    for width in (0.16, 0.3, 0.6, 1.2):
        share, narrow = by_width(noise, width, most, STOPPING_LEVEL, EXTRA_BLOCKS)
        assert LOW <= share <= HIGH, width
        assert width > 0.3 or math.isnan(narrow) or narrow > 0.93, width


def test_stopping_at_the_first_narrow_interval_would_cover_too_rarely() -> None:
    first, _ = by_width("lognormal", 0.8, 20, interval.LEVEL, 0)
    stricter, _ = by_width("lognormal", 0.6, 20, STOPPING_LEVEL, 0)
    assert first < 0.92
    assert stricter < 0.92


@pytest.mark.parametrize("order", ["blocks", "random"])
def test_the_plan_follows_the_rule_that_was_simulated(order: str) -> None:
    rng, most, width = np.random.default_rng(4), 12, 0.1
    logs = 0.03 * rng.standard_normal((12, 2, most))
    cases = [case(workers=1), case(workers=2)]
    study = msgspec.structs.replace(
        session(cases).study,
        cases=tuple(cases),
        repeats=most,
        width=width,
        order=order,
    )
    expected = lengths(logs, width)
    for campaign, blocks in zip(logs, expected, strict=True):
        plan, index, make = Auto(study), Index(), Maker()
        while (cell := plan.next(index)) is not None:
            seconds = math.exp(campaign[cell.workers - 1, cell.repeat])
            run = make.run(case(workers=cell.workers), seconds)
            index.add(msgspec.structs.replace(run, cell=cell))
        assert len(plan.planned(index)) == 2 * blocks
        assert plan.remaining(index) == []
    assert len(set(expected)) > 3
    assert width_of(np.exp(logs[0, 0]).tolist(), 0.95) == pytest.approx(
        2 * math.sinh(2.200985 * logs[0, 0].std(ddof=1) / math.sqrt(12)), rel=1e-6
    )


# Drift: the machine gets slower from run to run; the ratio of two of four cells is wanted.

CELLS = 4
DRIFT = 0.15  # of log time from the first run to the last: five times the noise
SPREAD = 0.03
GAIN = 1.3  # how many times as long cell 0 takes as cell 1


def positions(kind: str, rng: np.random.Generator, blocks: int) -> npt.NDArray[np.int64]:
    """Return when each run is made, 0 first: (campaigns, cells, repeats)."""
    if kind == "cell after cell":
        turns = rng.permuted(np.tile(np.arange(CELLS), (CAMPAIGNS, 1)), axis=1)
        return np.asarray(turns[:, :, None] * blocks + np.arange(blocks), np.int64)
    turns = rng.permuted(np.tile(np.arange(CELLS), (CAMPAIGNS, blocks, 1)), axis=2)
    if kind == "abba":
        turns[:, 1::2] = CELLS - 1 - turns[:, : blocks - 1 : 2]
    return np.asarray(turns.swapaxes(1, 2) + CELLS * np.arange(blocks), np.int64)


def drifting(kind: str, noise: str, blocks: int) -> tuple[float, set[str]]:
    """Return how often the interval of the ratio holds the truth, and the methods used."""
    rng = np.random.default_rng([blocks, len(kind), len(noise)])
    places = positions(kind, rng, blocks)[:, :2]
    logs = SPREAD * NOISE[noise](rng, places.shape) + DRIFT * places / (CELLS * blocks - 1)
    logs[:, 0] += math.log(GAIN)
    hits, methods = 0, set()
    for times, order in zip(np.exp(logs).tolist(), places.tolist(), strict=True):
        sides = [
            [
                RunValue(run=f"{place:04d}", value=seconds, repeat=repeat, session="s")
                for repeat, (seconds, place) in enumerate(zip(*cell, strict=True))
            ]
            for cell in zip(times, order, strict=True)
        ]
        found = compared(sides[0], sides[1])
        hits += holds(found, GAIN)
        methods.add(found.method if found else "")
    return hits / CAMPAIGNS, methods


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize(
    ("kind", "blocks"),
    [*(("blocks", n) for n in (3, 5, 10, 20)), *(("abba", n) for n in (4, 10))],
)
def test_ratios_under_drift_with_blocks(noise: str, kind: str, blocks: int) -> None:
    share, methods = drifting(kind, noise, blocks)
    assert methods == {ratio.PAIRED}
    assert LOW <= share <= HIGH


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("blocks", [3, 5, 10, 20])
def test_ratios_under_drift_without_blocks_fail(noise: str, blocks: int) -> None:
    share, methods = drifting("cell after cell", noise, blocks)
    assert methods == {ratio.WELCH}
    assert share < 0.8
