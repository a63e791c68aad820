"""Synthetic data whose row i is the same however rows are spread over workers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

NAME = "spark-perf"
VERSION = 1
BLOCK_ROWS = 1024
TEST_EVERY = 5


@dataclass(frozen=True, kw_only=True)
class Spec:
    """The generator's settings: rows, features, P(y = 0), shift of y = 1, seed."""

    rows: int
    features: int
    per_negative: float = 0.3
    noise: float = 1.0
    seed: int = 5

    def __post_init__(self) -> None:
        if self.rows < 1 or self.features < 1:
            raise ValueError(f"{self.rows} rows, {self.features} features: at least 1 of each")
        if not 0.0 < self.per_negative < 1.0:
            raise ValueError(f"per_negative is {self.per_negative}: between 0 and 1 is expected")

    def block_count(self) -> int:
        """Return how many blocks of BLOCK_ROWS rows (the last may be short) there are."""
        return -(-self.rows // BLOCK_ROWS)


def _block(index: int, spec: Spec) -> tuple[Matrix, Matrix]:
    """Return block `index`, whole: X [1024, features], y [1024]."""
    generator = np.random.Generator(np.random.Philox(key=[spec.seed, index]))
    labels = (generator.random(BLOCK_ROWS) >= spec.per_negative).astype(np.float64)
    values = generator.standard_normal((BLOCK_ROWS, spec.features))
    values += (labels * spec.noise)[:, None]
    return values, labels


def blocks(start: int, stop: int, spec: Spec) -> Iterator[tuple[int, Matrix, Matrix]]:
    """Yield (first row, X [n, features], y [n]) of rows start to stop, a block at a time."""
    if not 0 <= start <= stop <= spec.rows:
        raise ValueError(f"rows {start} to {stop} of {spec.rows}")
    for index in range(start // BLOCK_ROWS, -(-stop // BLOCK_ROWS)):
        values, labels = _block(index, spec)
        first = index * BLOCK_ROWS
        low, high = max(start - first, 0), min(stop - first, BLOCK_ROWS)
        yield first + low, values[low:high], labels[low:high]


def rows(
    start: int,
    stop: int,
    *,
    features: int,
    per_negative: float = 0.3,
    noise: float = 1.0,
    seed: int = 5,
) -> tuple[Matrix, Matrix]:
    """Return rows start to stop: X float64 [stop - start, features], y [stop - start].

    spark-perf's glm-classification (databricks/spark-perf, LogisticRegressionDataGenerator):
    y = 0 if U < per_negative else 1, x_j = N(0, 1) + y * noise. The random bits are Philox
    4x64 (Salmon et al., SC 2011) keyed by the seed and the number of the block of 1,024 rows.
    """
    spec = Spec(
        rows=max(stop, 1), features=features, per_negative=per_negative, noise=noise, seed=seed
    )
    values, labels = np.empty((stop - start, features)), np.empty(stop - start)
    for first, block, block_labels in blocks(start, stop, spec):
        at = first - start
        values[at : at + len(block)] = block
        labels[at : at + len(block)] = block_labels
    return values, labels


def is_test(first: int, count: int) -> npt.NDArray[np.bool_]:
    """Return which of the rows first to first + count are held out [count]: every fifth."""
    chosen: npt.NDArray[np.bool_] = np.arange(first, first + count) % TEST_EVERY == TEST_EVERY - 1
    return chosen


def digest(spec: Spec) -> str:
    """Return the sha256 of the generator's name, version and settings."""
    facts = {"generator": NAME, "version": VERSION, "block_rows": BLOCK_ROWS, **vars(spec)}
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def spec_of(data: Mapping[str, object]) -> Spec:
    """Return the settings that a job's dataset entry gives; unknown keys are refused."""
    kinds = {"rows": int, "features": int, "per_negative": float, "noise": float, "seed": int}
    given = {key: data[key] for key in kinds if key in data}
    unknown = sorted(data.keys() - kinds.keys() - {"name", "generator"})
    if unknown:
        raise ValueError(f"dataset: {', '.join(unknown)} unknown; {', '.join(kinds)} are allowed")
    if "rows" not in given or "features" not in given:
        raise ValueError("dataset: rows and features are required of a generated one")
    return Spec(**{key: kinds[key](value) for key, value in given.items()})


def moments(count: int, label_sum: float, sums: Matrix, squares: Matrix) -> dict[str, float | int]:
    """Condense sums over rows to a few means: count, label, mean, square, ranked.

    label_sum of y; sums [f] of x_j, squares [f] of x_j^2. `ranked` weighs feature j's mean by
    (j + 1) / f, so that features in another order show.
    """
    means = sums / count
    weights = np.arange(1, len(sums) + 1) / len(sums)
    return {
        "count": count,
        "label": label_sum / count,
        "mean": float(np.mean(means)),
        "square": float(np.mean(squares / count)),
        "ranked": float(np.mean(weights * means)),
    }
