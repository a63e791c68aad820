"""Trends over the order of runs and of passes: found where planted, seldom where not."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from bench.analysis.runs import trends
from bench.analysis.statistics import trend
from bench.records.results import Run
from tests.analysis import factory
from tests.analysis.factory import Maker, analysis_of, case, session


def trend_of(times: Sequence[float]) -> tuple[float, float]:
    found = trend.trend("here", [[(float(i), value) for i, value in enumerate(times)]])
    assert found is not None
    return found.p, found.change


def test_kendall_agrees_with_a_worked_example() -> None:
    # n = 10, one pair of neighbours swapped: S = 45 - 2 = 43, Var S = 10 * 9 * 25 / 18 = 125,
    # z = 42 / sqrt(125) = 3.7566, two-sided p = 1.722e-4 (normal table)
    p, _ = trend_of([1, 2, 3, 5, 4, 6, 7, 8, 9, 10])
    assert p == pytest.approx(1.722e-4, rel=1e-3)
    # one tie of two: Var S = 125 - 2 * 1 * 9 / 18 = 124, S = 44, z = 43 / sqrt(124)
    p, _ = trend_of([1, 2, 3, 4, 4, 6, 7, 8, 9, 10])
    assert p == pytest.approx(math.erfc(43 / math.sqrt(124) / math.sqrt(2)))


def test_kendall_agrees_with_scipy() -> None:
    from scipy.stats import kendalltau

    rng = np.random.default_rng(3)
    values = rng.lognormal(0, 0.1, 40)
    p, _ = trend_of(values.tolist())
    # SciPy's normal approximation has no continuity correction: compare S through z
    z = -kendalltau(np.arange(40), values, method="asymptotic").statistic * 40 * 39 / 2
    sd = math.sqrt(40 * 39 * 85 / 18)
    assert p == pytest.approx(math.erfc((abs(z) - 1) / sd / math.sqrt(2)))


def test_the_change_is_that_from_the_first_run_to_the_last() -> None:
    _, change = trend_of([10 * 1.01**i for i in range(21)])
    assert change == pytest.approx(1.01**20 - 1)
    _, change = trend_of([10 * 0.99**i for i in range(21)])
    assert change == pytest.approx(0.99**20 - 1)


def test_too_few_runs_or_all_equal_are_not_tested() -> None:
    assert trend.trend("here", [[(float(i), 1.0 + i) for i in range(9)]]) is None
    assert trend.trend("here", [[(float(i), 1.0)] for i in range(20)]) is None
    assert trend.trend("here", [[(float(i), 2.0) for i in range(20)]]) is None


@pytest.mark.parametrize(("planted", "least", "most"), [(0.0, 0.0, 0.012), (0.15, 0.9, 1.0)])
def test_drift_over_blocks_is_found_and_its_absence_too(
    planted: float, least: float, most: float
) -> None:
    # four cells of very different times, five blocks; the noise is 3 %
    rng, found = np.random.default_rng(11), 0
    campaigns = 2000
    for _ in range(campaigns):
        turns = rng.permuted(np.tile(np.arange(4), (5, 1)), axis=1).ravel()
        groups: list[list[tuple[float, float]]] = [[], [], [], []]
        for place, (turn, noise) in enumerate(zip(turns, rng.standard_normal(20), strict=True)):
            log = 2.0 * turn + 0.03 * noise + planted * place / 19
            groups[turn].append((float(place), math.exp(log)))
        tested = trend.trend("here", groups)
        assert tested is not None
        found += tested.significant
    assert least <= found / campaigns <= most


def passes_of(make: Maker, passes: Sequence[float], repeat: int, warmups: int = 1) -> Run:
    return make.run(case(passes=len(passes)), repeat=repeat, passes=tuple(passes), warmups=warmups)


def test_passes_that_still_get_faster_are_found_until_enough_are_left_out() -> None:
    make, rng = Maker(), np.random.default_rng(2)
    warm = [9.0, 4.0, 3.0, 2.5, 2.2, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    rows = [[w * math.exp(0.01 * e) for w, e in zip(warm, rng.standard_normal(12), strict=True)]
            for _ in range(5)]  # fmt: skip
    cold = trends.warmup("cell-1", [passes_of(make, row, i, 1) for i, row in enumerate(rows)])
    enough = trends.warmup("cell-1", [passes_of(make, row, i, 5) for i, row in enumerate(rows)])
    assert cold is not None
    assert enough is not None
    assert (cold.significant, enough.significant) == (True, False)
    assert cold.change < -0.05


def test_runs_of_few_passes_are_not_tested() -> None:
    make = Maker()
    few = [passes_of(make, (3.0, 2.0, 1.9, 1.8), i) for i in range(9)]
    assert trends.warmup("cell-1", few) is None
    left = [passes_of(make, (3.0, 2.0, 1.9, 1.8, 1.7), i, warmups=3) for i in range(9)]
    assert trends.warmup("cell-1", left) is None


def test_drift_is_told_in_the_analysis_and_the_report() -> None:
    make, cases = Maker(), [case(workers=1), case(workers=2)]
    runs = [
        make.run(one, 10.0 / one.workers * 1.05**repeat, repeat)
        for repeat in range(6)
        for one in cases
    ]
    found = analysis_of([session(cases)], [], runs)
    assert [(one.scope, one.significant, one.n) for one in found.trends] == [("here", True, 12)]
    assert found.trends[0].change == pytest.approx(1.05**5.5 - 1, rel=1e-6)
    assert "Drift on here: times changed by +31 % from the first run" in factory.printed(found)
