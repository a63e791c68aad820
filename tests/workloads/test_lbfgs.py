"""L-BFGS against scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize, rosen, rosen_der
from sklearn.linear_model import LogisticRegression

from _common import lbfgs, quality


def rosenbrock(x: lbfgs.Vector) -> tuple[float, lbfgs.Vector]:
    return float(rosen(x)), np.asarray(rosen_der(x))


@pytest.mark.parametrize("size", [2, 10, 50])
def test_rosenbrock_reaches_scipys_minimum(size: int) -> None:
    start = np.tile([-1.2, 1.0], size // 2)
    found = lbfgs.minimize(rosenbrock, start, tolerance=1e-12, max_iterations=2000)
    expected = minimize(rosenbrock, start, jac=True, method="L-BFGS-B", tol=1e-12)
    assert found.converged
    assert found.value <= expected.fun + 1e-9
    assert found.calls < 2 * expected.nfev + 50


def test_logistic_regression_is_scikit_learns() -> None:
    generator = np.random.default_rng(3)
    values = generator.normal(size=(400, 6)) * [1, 2, 5, 0.1, 1, 1]
    labels = (values[:, 0] + generator.normal(size=400) > 0.3).astype(np.float64)

    def function(point: lbfgs.Vector) -> tuple[float, lbfgs.Vector]:
        margins = values @ point[:-1] + point[-1]
        residual = (1 / (1 + np.exp(-margins)) - labels) / len(labels)
        gradient = np.append(values.T @ residual + 0.01 * point[:-1], residual.sum())
        return quality.objective(margins, labels, point[:-1], 0.01), gradient

    found = lbfgs.minimize(function, np.zeros(7), tolerance=1e-12, max_iterations=500)
    peer = LogisticRegression(C=1 / (0.01 * 400), tol=1e-10, max_iter=5000).fit(values, labels)
    expected = np.append(peer.coef_[0], peer.intercept_[0])
    np.testing.assert_allclose(found.x, expected, atol=1e-5)
    assert found.value <= function(expected)[0] + 1e-12
    assert found.converged


def test_the_iterations_end_where_told() -> None:
    found = lbfgs.minimize(rosenbrock, np.array([-1.2, 1.0]), tolerance=0.0, max_iterations=5)
    assert (found.iterations, found.converged) == (5, False)


def test_a_start_at_the_minimum_is_converged() -> None:
    found = lbfgs.minimize(rosenbrock, np.ones(4), tolerance=1e-9, max_iterations=5)
    assert (found.iterations, found.calls, found.converged) == (0, 1, True)
