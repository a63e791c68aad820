"""Samples of one run -> CPU and memory over time, short enough to draw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bench.analysis.results import Curve, Series, Utilization

MOST_POINTS = 240
Columns = Mapping[str, Sequence[object]]


def utilization(curve: Curve, run: str, workers: int, columns: Columns) -> Utilization:
    """Return the utilization of one run from its samples' columns, thinned by means.

    ``columns`` are equally long: ``t`` (s), ``scope``, ``cpu_user`` and ``cpu_system`` (cores'
    worth), ``memory_used`` (bytes); a column may be absent, None and NaN are gaps.
    """
    rows: dict[str, list[tuple[float, float | None, float | None]]] = {}
    user, system = columns.get("cpu_user"), columns.get("cpu_system")
    memory = columns.get("memory_used")
    for i, (scope, moment) in enumerate(zip(columns["scope"], columns["t"], strict=True)):
        t = _number(moment)
        if t is not None:
            cpu = _sum(_at(user, i), _at(system, i))
            rows.setdefault(str(scope), []).append((t, cpu, _at(memory, i)))
    start = min((row[0] for found in rows.values() for row in found), default=0.0)
    return Utilization(
        curve=curve.id,
        label=curve.label,
        run=run,
        workers=workers,
        series=tuple(_series(scope, rows[scope], start) for scope in sorted(rows)),
    )


def _series(
    scope: str, rows: Sequence[tuple[float, float | None, float | None]], start: float
) -> Series:
    """Return one scope's rows in time order, each drawn point the mean of a chunk of samples."""
    ordered = sorted(rows, key=lambda row: row[0])
    size = math.ceil(len(ordered) / MOST_POINTS)
    chunks = [ordered[i : i + size] for i in range(0, len(ordered), size)]
    return Series(
        scope=scope,
        t=tuple(sum(row[0] for row in chunk) / len(chunk) - start for chunk in chunks),
        cpu=tuple(_mean([row[1] for row in chunk]) for chunk in chunks),
        memory=tuple(_mean([row[2] for row in chunk]) for chunk in chunks),
    )


def _at(column: Sequence[object] | None, i: int) -> float | None:
    """Return a column's number at ``i``, or None."""
    return None if column is None else _number(column[i])


def _number(value: object) -> float | None:
    """Return a finite float or None."""
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    return None


def _sum(a: float | None, b: float | None) -> float | None:
    """Return the sum, None where a part is missing."""
    return None if a is None or b is None else a + b


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the numbers among the values, None without any."""
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else None
