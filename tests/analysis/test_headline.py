"""One number of a run, of any metric: aggregates, passes, histograms, and nothing made up."""

from __future__ import annotations

import math
from typing import get_args

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.runs.headline import by_item, headline
from bench.analysis.runs.metrics import MetricRule, names, rule_for
from bench.analysis.runs.summary import middle
from bench.analysis.statistics import interval
from bench.analysis.statistics.quantile import ends, quantile, total
from bench.records.metrics import Aggregate
from bench.records.results import Histogram, Measurement, Run
from tests.analysis.factory import Maker, case, failed
from tests.analysis.metrics import METRICS, bundle

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)


def rule(aggregate: Aggregate = "median") -> MetricRule:
    return MetricRule(name="latency", unit="ms", direction="lower", aggregate=aggregate)


def of_pass(number: int | None, *values: float, item: str | None = None) -> Measurement:
    return Measurement(metric="latency", unit="ms", values=values, number=number, item=item)


def run(*reported: Measurement, passes: int = 1, warmups: int = 0) -> Run:
    walls = (1.0,) * passes
    return Maker().run(case(), passes=walls, warmups=warmups, measurements=reported)


def value(of: Run, metric: MetricRule) -> float | None:
    head = headline(of, metric)
    return None if head is None else head.value


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        ("median", 2.5),
        ("mean", 4.0),
        ("sum", 16.0),
        ("min", 1.0),
        ("max", 10.0),
        ("p90", 7.9),
        ("p95", 8.95),
        ("p99", 9.79),
    ],
)
def test_the_aggregate_is_over_all_values_of_a_pass(aggregate: Aggregate, expected: float) -> None:
    one = run(of_pass(0, 1.0, 2.0, item="a"), of_pass(0, 3.0, 10.0, item="b"))
    assert value(one, rule(aggregate)) == pytest.approx(expected)
    assert {name: head.value for name, head in by_item(one, rule("max")).items()} == {
        "a": 2.0,
        "b": 10.0,
    }


def test_a_run_is_the_median_of_its_counted_passes() -> None:
    reported = [of_pass(number, float(10 - number)) for number in range(4)]
    one = headline(run(*reported, passes=4), rule())
    assert one is not None
    assert (one.value, one.unit, one.which) == (8.0, "ms", "median of the median of passes 1 to 3")
    warm = headline(run(*reported, passes=4, warmups=3), rule("p95"))
    assert warm is not None
    assert (warm.value, warm.which) == (7.0, "p95 of pass 3")
    cold = headline(run(of_pass(0, 5.0)), rule())
    assert cold is not None
    assert (cold.value, cold.which) == (5.0, "median of cold pass 0, the only one")


def test_what_was_reported_outside_passes_counts_as_one() -> None:
    outside = of_pass(None, 1.0, 3.0)
    assert value(run(outside), rule("max")) == 3.0
    assert value(run(outside, of_pass(0, 99.0)), rule()) == 2.0  # pass 0 is not the only one
    assert value(run(outside, of_pass(0, 99.0), of_pass(1, 4.0), passes=2), rule()) == 3.0


def test_what_was_not_reported_is_none_and_never_0() -> None:
    assert headline(run(), rule()) is None
    assert headline(run(of_pass(0)), rule()) is None
    assert headline(run(of_pass(0, 5.0), passes=3), rule()) is None  # the cold pass alone
    assert headline(failed(run(of_pass(0, 5.0))), rule()) is None
    assert by_item(failed(run(of_pass(0, 5.0, item="a"))), rule()) == {}
    empty = Measurement(
        metric="latency", histogram=Histogram(edges=(0.0, 1.0), counts=(0,)), number=0
    )
    assert headline(run(empty), rule()) is None


def test_every_aggregate_of_a_histogram() -> None:
    # 10 values spread over 0..10 and 30 over 10..20: the middle one is a third into the second bin
    found = Measurement(
        metric="latency",
        histogram=Histogram(edges=(0.0, 10.0, 20.0, 90.0), counts=(10, 30, 0)),
        number=0,
    )
    expected = {
        "median": 10 + 10 / 3,
        "mean": (10 * 5 + 30 * 15) / 40,
        "sum": 500.0,
        "min": 0.0,
        "max": 20.0,
        "p90": 10 + 26 / 3,
        "p95": 10 + 28 / 3,
        "p99": 10 + 29.6 / 3,
    }
    assert set(expected) == set(get_args(Aggregate))
    for name in get_args(Aggregate):
        assert value(run(found), rule(name)) == pytest.approx(expected[name])


@given(VALUES, st.floats(0, 1))
def test_quantiles_of_values_are_numpys(values: list[float], share: float) -> None:
    assert quantile(values, share) == pytest.approx(np.quantile(values, share), rel=1e-9, abs=1e-6)


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=60),
    st.lists(st.floats(0, 100), max_size=20),
    st.floats(0.01, 0.99),
)
def test_a_histogram_is_off_by_a_bin_at_most(
    binned: list[float], plain: list[float], share: float
) -> None:
    counts, edges = np.histogram(binned, bins=20, range=(0.0, 100.0))
    bins = [(edges.tolist(), counts.tolist())]
    together = [*binned, *plain]
    inverted = np.quantile(together, share, method="inverted_cdf")
    at = np.searchsorted(np.sort(together), inverted)
    near = np.sort(together)[max(0, at - 1) : at + 2]
    found = quantile(plain, share, bins)
    assert min(near) - 5.01 <= found <= max(near) + 5.01
    assert total(plain, bins) == pytest.approx(sum(together), abs=2.51 * len(binned))
    low, high = ends(plain, bins)
    assert low <= min(together) <= max(together) <= high


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=9), st.floats(-50, 50))
def test_values_that_are_not_positive_have_a_plain_interval(
    values: list[float], shift: float
) -> None:
    rule_ = MetricRule(name="balance", direction="higher")
    values = [*values, -abs(values[0])][:9]
    found = middle(values, rule_)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    if min(values) <= 0:
        assert found.method == interval.PLAIN
        assert found.mid == pytest.approx(float(np.mean(values)), abs=1e-9)
        assert found.low <= found.mid <= found.high
        moved = middle([x - 100.0 + shift for x in values], rule_)
        if max(values) - 100.0 + shift <= 0:
            assert moved is not None
            assert moved.low is not None
            assert moved.low == pytest.approx(found.low - 100.0 + shift, abs=1e-6)


def test_a_plain_interval_agrees_with_a_worked_example() -> None:
    # -1, 0, 1: mean 0, sd 1, t(0.975; 2) = 4.30265 (Student's table)
    found = interval.estimate([-1.0, 0.0, 1.0])
    assert found is not None
    assert found.mid == 0.0
    assert found.high == pytest.approx(4.302653 / math.sqrt(3), abs=1e-5)


def test_a_rule_is_its_bundles_and_without_one_nobody_says_what_is_better() -> None:
    one = run(of_pass(0, 5.0))
    of = bundle(case())
    declared = rule_for("latency", [one], {of.digest: of})
    assert declared == MetricRule(name="latency", unit="ms", direction="lower", aggregate="p95")
    assert rule_for("latency", [one], {}) == MetricRule(name="latency", unit="ms")
    assert rule_for("time", [one], {}).direction == "lower"
    assert names([one], {of.digest: of}) == ["time", *sorted(METRICS)]
    assert names([msgspec.structs.replace(one, measurements=())], {}) == ["time"]
