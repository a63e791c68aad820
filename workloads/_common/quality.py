"""How good a model is, by one formula for all engines."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

PROJECTIONS = 16
PROJECTION_SEED = 20130101


def log_loss_sum(margins: Vector, labels: Vector) -> float:
    """Return sum_i log(1 + exp(m_i)) - y_i m_i, without overflow.

    margins [n], labels [n] in {0, 1}. Hastie, Tibshirani and Friedman, The Elements of
    Statistical Learning, 2nd ed., equation 4.20 (negated).
    """
    soft = np.maximum(margins, 0.0) + np.log1p(np.exp(-np.abs(margins)))
    return float(np.sum(soft - labels * margins))


def penalised(loss_sum: float, rows: int, weights: Vector, regularization: float) -> float:
    """Return loss_sum / rows + regularization / 2 * |weights|^2; the intercept is free."""
    return loss_sum / rows + 0.5 * regularization * float(weights @ weights)


def objective(margins: Vector, labels: Vector, weights: Vector, regularization: float) -> float:
    """Return the mean log loss plus regularization / 2 * |weights|^2.

    margins [n], labels [n], weights [f] without the intercept.
    """
    return penalised(log_loss_sum(margins, labels), len(labels), weights, regularization)


def auc(scores: Vector, labels: Vector) -> float:
    """Return the area under the ROC curve; ties count a half.

    scores [n], labels [n] in {0, 1}. The Mann-Whitney rank statistic with mid-ranks: Hanley and
    McNeil, Radiology 143 (1982), p. 31; ties as in Fawcett, Pattern Recognition Letters 27 (2006).
    """
    positives = int(np.count_nonzero(labels == 1))
    negatives = len(labels) - positives
    if positives == 0 or negatives == 0:
        raise ValueError(f"AUC of {positives} positive and {negatives} negative rows: needs both")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mid_ranks = np.cumsum(counts) - (counts - 1) / 2.0
    rank_sum = float(np.sum(mid_ranks[inverse][labels == 1]))
    return (rank_sum - positives * (positives + 1) / 2.0) / (positives * negatives)


def projections(vector: Vector) -> Vector:
    """Return PROJECTIONS dot products [16] of vector [n] with seeded random directions.

    Every entry of a direction is normal with mean 0 and variance 1, so that a projection has
    the variance |vector|^2 (Johnson and Lindenstrauss, 1984).
    """
    generator = np.random.Generator(np.random.Philox(key=PROJECTION_SEED))
    directions = generator.standard_normal((PROJECTIONS, len(vector)))
    return np.asarray(directions @ vector, dtype=np.float64)


def condense(vector: Vector) -> dict[str, object]:
    """Return count, norm and projections of vector [n]: what a line can carry of it."""
    values = np.asarray(vector, dtype=np.float64)
    return {
        "count": len(values),
        "norm": float(np.linalg.norm(values)),
        "projections": projections(values).tolist(),
    }
