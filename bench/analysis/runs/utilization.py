"""Samples of one run -> CPU, memory and GPUs over time, short enough to draw."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from bench.analysis.runs.grouping import CurveRuns
from bench.analysis.runs.representatives import of_curve
from bench.analysis.runs.types import Gpu, Series, Utilization

MOST_POINTS = 240
Columns = Mapping[str, Sequence[object]]
Row = tuple[float, tuple[float | None, ...]]


def utilizations(
    lines: Iterable[CurveRuns],
    samples: Mapping[str, Columns],
    gpus: Mapping[str, Columns],
    sampling: Mapping[str, float],
) -> tuple[Utilization, ...]:
    """Return the utilization of the run that stands for each curve, where it has samples.

    ``samples`` and ``gpus`` are columns by run (see ``utilization``), ``sampling`` the seconds
    from one sample to the next by session.
    """
    drawn = [
        utilization(
            line.label,
            run.run,
            run.cell.workers,
            samples[run.run],
            gpus.get(run.run),
            sampling.get(run.session),
        )
        for line in lines
        if (run := of_curve(line)) is not None and run.run in samples
    ]
    return tuple(curve for curve in drawn if curve.series)


def utilization(
    label: str,
    run: str,
    workers: int,
    columns: Columns,
    gpus: Columns | None = None,
    sampling: float | None = None,
) -> Utilization:
    """Return the utilization of one run of the curve ``label`` from its samples, thinned by means.

    ``columns`` are equally long: ``t`` (s), ``scope``, ``cpu_user`` and ``cpu_system`` (cores'
    worth, each over the time since its scope's row before), ``memory_used`` (bytes); ``gpus`` are
    those of a GPU sampler: ``t``, ``scope``, ``utilization`` (0..1), ``memory_used`` (bytes),
    ``power`` (W). A column may be absent, None and NaN are gaps. ``sampling`` is the rate that
    was asked for, in seconds; times are the samples' own, whatever it is.
    """
    host = _scopes(columns, ("cpu_user", "cpu_system", "memory_used"))
    devices = _scopes(gpus or {}, ("utilization", "memory_used", "power"))
    return Utilization(
        label=label,
        run=run,
        workers=workers,
        sampling=sampling,
        series=tuple(_series(scope, host[scope], _start(host)) for scope in sorted(host)),
        gpus=tuple(_gpu(scope, devices[scope], _start(devices)) for scope in sorted(devices)),
    )


def _scopes(columns: Columns, names: Sequence[str]) -> dict[str, list[Row]]:
    """Return by scope the (t, values of the named columns), in time order."""
    rows: dict[str, list[Row]] = {}
    for i, scope in enumerate(columns.get("scope", ())):
        t = _number(columns["t"][i])
        if t is not None:
            values = tuple(_at(columns.get(name), i) for name in names)
            rows.setdefault(str(scope), []).append((t, values))
    return {scope: sorted(scope_rows, key=lambda row: row[0]) for scope, scope_rows in rows.items()}


def _start(scopes: Mapping[str, Sequence[Row]]) -> float:
    return min((rows[0][0] for rows in scopes.values()), default=0.0)


def _series(scope: str, rows: Sequence[Row], start: float) -> Series:
    """Return one scope's rows; CPU at ``t`` is the mean since the ``t`` before."""
    t, (user, system, memory) = _thinned(rows, start)
    cpu = tuple(_sum(a, b) for a, b in zip(user, system, strict=True))
    return Series(scope=scope, t=t, cpu=cpu, memory=memory)


def _gpu(scope: str, rows: Sequence[Row], start: float) -> Gpu:
    t, (busy, memory, power) = _thinned(rows, start)
    return Gpu(scope=scope, t=t, utilization=busy, memory=memory, power=power)


def _thinned(
    rows: Sequence[Row], start: float
) -> tuple[tuple[float, ...], list[tuple[float | None, ...]]]:
    """Return at most MOST_POINTS ends of chunks (s from ``start``), and each column's means.

    A sample weighs as much as the time since the one before: the last of a run is often short.
    """
    size = math.ceil(len(rows) / MOST_POINTS)
    times = [row[0] for row in rows]
    weights = [0.0, *(later - t for t, later in zip(times, times[1:], strict=False))]
    chunks = [range(i, min(i + size, len(rows))) for i in range(0, len(rows), size)]
    means = [
        tuple(_mean([(rows[i][1][column], weights[i]) for i in chunk]) for chunk in chunks)
        for column in range(len(rows[0][1]))
    ]
    return tuple(times[chunk[-1]] - start for chunk in chunks), means


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


def _mean(values: Sequence[tuple[float | None, float]]) -> float | None:
    """Return the mean of the numbers among (value, weight); None without any.

    Where nothing has a weight (the first sample alone), all weigh the same.
    """
    given = [(value, weight) for value, weight in values if value is not None]
    total = sum(weight for _, weight in given)
    if total > 0:
        return sum(value * weight for value, weight in given) / total
    return sum(value for value, _ in given) / len(given) if given else None
