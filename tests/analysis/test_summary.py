"""Intervals have the level they claim, scale with the data, and are absent for one run."""

from __future__ import annotations

import math
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.runs import blocks, summary
from bench.analysis.runs.headline import headline
from bench.analysis.runs.types import Counts, RunValue
from bench.analysis.statistics import interval, ratio
from tests.analysis.factory import Maker, case, failed

TIMES = st.lists(st.floats(0.01, 1e5), min_size=2, max_size=30)


def test_the_headline_names_its_passes() -> None:
    make, of = Maker(), case()
    cold = headline(make.run(of, 5.0))
    assert cold is not None
    assert (cold.value, cold.which) == (5.0, "cold pass 0, the only one")
    several = headline(make.run(of, passes=(9.0, 5.0, 3.0, 4.0)))
    assert several is not None
    assert (several.value, several.which) == (4.0, "median of passes 1 to 3")
    warm = headline(make.run(of, passes=(9.0, 5.0, 3.0, 4.0), warmups=3))
    assert warm is not None
    assert (warm.value, warm.which) == (4.0, "pass 3")
    assert headline(make.run(of, passes=(9.0, 5.0), warmups=2)) is None
    assert headline(failed(make.run(of))) is None


def test_one_run_has_no_interval_and_none_has_nothing() -> None:
    one = interval.estimate([3.0])
    assert one is not None
    assert (one.mid, one.low, one.high, one.level, one.n) == (3.0, None, None, None, 1)
    assert interval.estimate([]) is None
    assert interval.variation([3.0]) is None


def test_the_t_interval_agrees_with_a_worked_example() -> None:
    # log times 1, 2, 3: mean 2, sd 1, t(0.975; 2) = 4.30265 (Student's table)
    found = interval.estimate([math.exp(1), math.exp(2), math.exp(3)])
    assert found is not None
    assert found.low is not None
    assert math.log(found.mid) == pytest.approx(2)
    assert math.log(found.low) == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-5)


def test_order_statistics_agree_with_a_worked_example() -> None:
    # n = 10: (x3, x8) attains 0.8906, (x2, x9) 0.9785 (Hettmansperger & Sheather 1986);
    # lambda = (n - k) I / (k + (n - 2k) I) with k = 2, I = (0.9785 - 0.95) / (0.9785 - 0.8906)
    found = interval.estimate([float(i) for i in range(1, 11)])
    part = (0.978515625 - 0.95) / (0.978515625 - 0.890625)
    weight = 8 * part / (2 + 6 * part)
    assert found is not None
    assert found.method == interval.MEDIAN
    assert (found.mid, found.level) == (5.5, 0.95)
    assert found.low == pytest.approx(2 + weight)
    assert found.high == pytest.approx(9 - weight)


@given(TIMES)
def test_the_middle_lies_in_its_interval_and_in_the_data(times: list[float]) -> None:
    found = interval.estimate(times)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.mid * (1 + 1e-12)
    assert found.mid <= found.high * (1 + 1e-12)
    assert min(times) * (1 - 1e-9) <= found.mid <= max(times) * (1 + 1e-9)


@given(TIMES, st.floats(0.001, 1000))
def test_intervals_scale_with_the_unit(times: list[float], factor: float) -> None:
    one, other = interval.estimate(times), interval.estimate([factor * t for t in times])
    assert one is not None
    assert other is not None
    for name in ("mid", "low", "high"):
        assert getattr(other, name) == pytest.approx(factor * getattr(one, name), rel=1e-6)


@given(TIMES)
def test_a_higher_level_is_wider(times: list[float]) -> None:
    one, other = interval.estimate(times, 0.8), interval.estimate(times, 0.95)
    assert one is not None
    assert other is not None
    assert one.low is not None
    assert other.low is not None
    assert other.low <= one.low * (1 + 1e-12)


@pytest.mark.parametrize("n", [3, 5])
def test_the_t_interval_covers_lognormal_times_as_often_as_it_says(n: int) -> None:
    rng, trials, hits = random.Random(20260101 + n), 4000, 0
    for _ in range(trials):
        found = interval.estimate([10 * rng.lognormvariate(0, 0.2) for _ in range(n)])
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 10 <= found.high
    assert 0.93 <= hits / trials <= 0.97


@pytest.mark.parametrize("n", [10, 15, 20])
def test_the_median_interval_covers_skewed_times(n: int) -> None:
    rng, trials, hits = random.Random(7), 3000, 0
    for _ in range(trials):
        found = interval.estimate([rng.expovariate(1.0) for _ in range(n)])
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= math.log(2) <= found.high
    assert 0.93 <= hits / trials <= 0.97


def test_failed_runs_are_counted_and_never_mixed_in() -> None:
    make, of = Maker(), case()
    good = [make.run(of, 10.0, 0), make.run(of, 12.0, 1)]
    bad = [failed(make.run(of, 99.0, 2)), failed(make.run(of, 99.0, 3), "limit", "timeout")]
    found = summary.cell("cell-1", "curve-1", [*good, *bad], good)
    assert found.counts == Counts(ok=2, failed=1, timeout=1)
    assert found.value is not None
    assert found.value.mid == pytest.approx(math.sqrt(120))
    assert [share.name for share in found.phases] == ["provision", "launch", "work"]


def test_stages_are_those_of_the_headline_passes_and_what_is_left() -> None:
    found = summary.stage_seconds(Maker().run(case(), 10.0))
    assert found == pytest.approx({"source": 2.0, "train": 7.0, "other": 1.0})


def test_speedup_agrees_with_a_worked_example() -> None:
    # Equal variances and sizes: Welch's degrees of freedom are 2 (n - 1) = 4, t = 2.776445
    slow = [math.exp(x) for x in (2.0, 2.1, 2.2)]
    fast = [math.exp(x) for x in (1.0, 1.1, 1.2)]
    found = ratio.ratio(slow, fast)
    assert found is not None
    assert found.low is not None
    assert math.log(found.mid) == pytest.approx(1)
    half = 2.776445 * math.sqrt(2 * 0.01 / 3)
    assert math.log(found.low) == pytest.approx(1 - half, abs=1e-6)
    assert ratio.ratio([1.0], [2.0, 3.0]) == ratio.ratio([1.0], [3.0, 2.0])
    single = ratio.ratio([1.0], [2.0, 2.0])
    assert single is not None
    assert single.low is None


def side(first: int, step: int, *seconds: float, session: str = "s") -> list[RunValue]:
    """Return runs of one cell: run ``first``, then each ``step`` runs later."""
    return [
        RunValue(run=f"{first + step * i:03d}", value=one, repeat=i, session=session)
        for i, one in enumerate(seconds)
    ]


def test_cells_of_the_same_blocks_are_compared_pair_by_pair() -> None:
    # log ratios 0.9, 1.0, 1.1 of times that drift: mean 1, sd 0.1, t(0.975; 2) = 4.302653
    slow = side(1, 2, *(math.exp(x) for x in (2.0, 3.0, 4.0)))
    fast = side(2, 2, *(math.exp(x) for x in (1.1, 2.0, 2.9)))
    found = blocks.compared(slow, fast)
    assert found is not None
    assert found.low is not None
    assert (found.method, found.n) == (ratio.PAIRED, 3)
    assert math.log(found.mid) == pytest.approx(1)
    assert math.log(found.low) == pytest.approx(1 - 4.302653 * 0.1 / math.sqrt(3), abs=1e-6)


@pytest.mark.parametrize(
    "other",
    [
        side(2, 2, 1.0, 1.1),  # a repeat is missing
        side(4, 1, 1.0, 1.1, 1.2),  # measured after the first as a whole
        side(2, 2, 1.0, 1.1, 1.2, session="t"),  # in another session
        [*side(2, 2, 1.0, 1.1), RunValue(run="900", value=1.2, repeat=3, session="s")],
    ],
)
def test_what_makes_no_blocks_is_compared_as_independent_runs(other: list[RunValue]) -> None:
    found = blocks.compared(side(1, 2, 2.0, 2.1, 2.3), other)
    assert found == ratio.ratio([2.0, 2.1, 2.3], [one.value for one in other])


def test_a_repeat_run_again_later_is_in_no_block() -> None:
    again = side(2, 2, 1.0, 1.1, 1.2)
    again[0] = msgspec.structs.replace(again[0], run="900")
    assert blocks.blocks(side(1, 2, 2.0, 2.1, 2.3), again) is None


@given(TIMES, TIMES)
def test_a_ratio_and_its_inverse_mirror_each_other(one: list[float], two: list[float]) -> None:
    there, back = ratio.ratio(one, two), ratio.ratio(two, one)
    assert there is not None
    assert back is not None
    assert there.mid * back.mid == pytest.approx(1)
    assert there.low is not None
    assert back.high is not None
    assert math.log(there.low) == pytest.approx(-math.log(back.high), abs=1e-6)
