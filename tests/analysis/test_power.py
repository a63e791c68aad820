"""The smallest effect: known tables, and simulated campaigns that find it as often as promised."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.analysis.runs.blocks import compared
from bench.analysis.runs.types import RunValue
from bench.analysis.statistics import power
from bench.analysis.statistics.types import Noise


def deviations(repeats: int) -> float:
    """Return the smallest difference in standard deviations of a pair's difference."""
    found = power.detectable(repeats, Noise(sd=0.01, runs=0))
    assert found is not None
    return math.log1p(found.change) / (0.01 * math.sqrt(2))


def test_the_effect_agrees_with_known_sample_sizes() -> None:
    # paired t, two-sided 0.05, power 0.8: 0.5 sd takes 34 pairs, 0.8 sd 15, 0.2 sd 199 (Cohen)
    for effect, pairs in ((0.5, 34), (0.8, 15), (0.2, 199)):
        assert deviations(pairs) <= effect < deviations(pairs - 1)


@pytest.mark.parametrize("repeats", [3, 5, 10])
def test_the_effect_is_found_with_the_power_that_is_stated(repeats: int) -> None:
    spread = Noise(sd=0.04, runs=50)
    effect = power.detectable(repeats, spread)
    assert effect is not None
    rng, campaigns, found = np.random.default_rng(repeats), 4000, 0
    logs = spread.sd * rng.standard_normal((campaigns, 2, repeats))
    logs[:, 1] += math.log1p(effect.change)
    for one in np.exp(logs).tolist():
        left, right = (
            [
                RunValue(run=f"{2 * i + side:03d}", value=seconds, repeat=i, session="s")
                for i, seconds in enumerate(times)
            ]
            for side, times in enumerate(one)
        )
        interval = compared(right, left)
        assert interval is not None
        assert interval.low is not None
        assert interval.high is not None
        found += not interval.low <= 1 <= interval.high
    assert found / campaigns == pytest.approx(effect.power, abs=0.02)


def test_noise_is_pooled_over_cells_and_a_guess_without_any() -> None:
    pooled = power.noise([[math.exp(0.1), math.exp(-0.1)], [1.0, 1.0, 1.0], [5.0]])
    assert pooled.sd == pytest.approx(math.sqrt(0.02 / 3))
    assert pooled.runs == 5
    assert power.noise([[1.0], []]) == Noise(sd=power.GUESS, runs=0)


def test_more_repeats_or_less_noise_detect_less_and_one_repeat_nothing() -> None:
    wide, narrow = Noise(sd=0.1, runs=9), Noise(sd=0.01, runs=9)
    changes = [one.change for n in (2, 3, 5, 10, 20) if (one := power.detectable(n, wide))]
    assert changes == sorted(changes, reverse=True)
    small = power.detectable(5, narrow)
    assert small is not None
    assert small.change < changes[2]
    assert power.detectable(1, wide) is None
