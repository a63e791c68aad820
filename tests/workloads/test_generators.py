"""Generated rows: the same wherever they are made, and distributed as said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _common import generators

ROWS = 5000
SPEC = generators.Spec(rows=ROWS, features=3, noise=0.5)


def make(start: int, stop: int) -> tuple[generators.Matrix, generators.Matrix]:
    return generators.rows(start, stop, features=3, noise=0.5)


WHOLE, LABELS = make(0, ROWS)
KNOWN = [-1.4218799154147794, 1.4603825408759263, 0.9596690132626822]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, ROWS), max_size=6))
def test_rows_do_not_depend_on_the_partitioning(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), ROWS]
    parts = [make(a, b) for a, b in zip(edges, edges[1:], strict=False)]
    np.testing.assert_array_equal(np.concatenate([part for part, _ in parts]), WHOLE)
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in parts]), LABELS)


def test_distribution_is_spark_perfs() -> None:
    assert np.mean(LABELS) == pytest.approx(0.7, abs=0.03)
    assert WHOLE[LABELS == 0].mean() == pytest.approx(0.0, abs=0.05)
    assert WHOLE[LABELS == 1].mean() == pytest.approx(0.5, abs=0.05)
    assert WHOLE[LABELS == 1].std() == pytest.approx(1.0, abs=0.05)


def test_seeds_and_blocks_differ() -> None:
    other, _ = generators.rows(0, 10, features=3, noise=0.5, seed=6)
    assert not np.isclose(other, WHOLE[:10]).any()
    assert not np.isclose(WHOLE[:1024], WHOLE[1024:2048]).all(axis=1).any()


def test_known_values_stay() -> None:
    """The bits belong to the generator's version: a change needs a new VERSION."""
    assert generators.VERSION == 1
    np.testing.assert_allclose(WHOLE[0], KNOWN, rtol=1e-12)


def test_digest_depends_on_every_setting() -> None:
    settings_: list[dict[str, object]] = [
        {},
        {"rows": 9},
        {"features": 9},
        {"per_negative": 0.9},
        {"noise": 9.0},
        {"seed": 9},
    ]
    base: dict[str, object] = {"rows": 5, "features": 3}
    found = {generators.digest(generators.spec_of({"name": "a", **base, **s})) for s in settings_}
    assert len(found) == len(settings_)


def test_bad_specs_are_named() -> None:
    with pytest.raises(ValueError, match="row_count unknown"):
        generators.spec_of({"rows": 5, "features": 3, "row_count": 3})
    with pytest.raises(ValueError, match="rows and features"):
        generators.spec_of({"name": "spark-perf"})
    with pytest.raises(ValueError, match="between 0 and 1"):
        generators.Spec(rows=5, features=3, per_negative=1.0)


def test_test_rows_are_every_fifth_of_the_whole() -> None:
    parts = [generators.is_test(first, 7) for first in range(0, 70, 7)]
    assert np.flatnonzero(np.concatenate(parts)).tolist() == list(range(4, 70, 5))


def test_moments_see_a_swap_of_features() -> None:
    sums, squares = WHOLE.sum(axis=0), (WHOLE**2).sum(axis=0)
    found = generators.moments(ROWS, LABELS.sum(), sums, squares)
    swapped = generators.moments(ROWS, LABELS.sum(), sums[::-1], squares[::-1])
    assert found["mean"] == pytest.approx(WHOLE.mean(), rel=1e-12)
    assert found["ranked"] != pytest.approx(swapped["ranked"], rel=1e-9)
