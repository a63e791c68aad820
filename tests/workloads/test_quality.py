"""Objective, AUC and projections against scikit-learn and by their own laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from _common import quality


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=60))
def test_auc_is_scikit_learns_ties_included(pairs: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in pairs], dtype=np.float64)
    labels = np.array([label for _, label in pairs], dtype=np.float64)
    if 0 < labels.sum() < len(labels):
        assert quality.auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))
    else:
        with pytest.raises(ValueError, match="needs both"):
            quality.auc(scores, labels)


def test_objective_is_scikit_learns_log_loss_and_the_penalty() -> None:
    generator = np.random.default_rng(1)
    margins, weights = generator.normal(size=500) * 3, generator.normal(size=9)
    labels = (generator.random(500) < 0.4).astype(np.float64)
    expected = log_loss(labels, 1 / (1 + np.exp(-margins))) + 0.05 * (weights @ weights)
    assert quality.objective(margins, labels, weights, 0.1) == pytest.approx(expected, rel=1e-12)


def test_objective_does_not_overflow() -> None:
    margins, labels = np.array([1e4, -1e4, 1e4]), np.array([1.0, 0.0, 0.0])
    assert quality.objective(margins, labels, np.zeros(1), 0.0) == pytest.approx(1e4 / 3)


def test_projections_are_repeatable_and_as_long_as_the_vector() -> None:
    vector = np.random.default_rng(2).normal(size=2000)
    found = quality.projections(vector)
    np.testing.assert_array_equal(found, quality.projections(vector))
    ratio = np.sqrt(np.mean(found**2)) / np.linalg.norm(vector)
    assert 0.6 < ratio < 1.4
