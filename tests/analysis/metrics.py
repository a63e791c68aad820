"""Synthetic campaigns of a workload that reports latencies by query, throughput and a score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from bench.analysis.study_types import StudyAnalysis
from bench.records.metrics import Metric
from bench.records.results import Bundle, Measurement, Run
from bench.records.study import Case
from tests.analysis.factory import LIMITS, TASK, Maker, analysis_of, case, digest, session

METRICS = {
    "throughput": Metric(unit="rows/s", direction="higher", aggregate="mean"),
    "latency": Metric(unit="ms", direction="lower", aggregate="p95"),
    "balance": Metric(unit="", direction="higher"),
    "silent": Metric(unit="", direction="lower"),
}
JITTER = (1.0, 1.01, 0.99, 1.02, 0.98, 1.005)
QUERIES = ("q1", "q2")


def bundle(of: Case, metrics: Mapping[str, Metric] = METRICS) -> Bundle:
    """Return the bundle of a case's workload, as the factory's runs name it."""
    return Bundle(
        digest=digest(of.use),
        workload=of.use,
        task=TASK,
        files={"main.py": ""},
        metrics=metrics,
        quality=LIMITS,
    )


def measured(run: Run, rate: float, latency: float, balance: float) -> Run:
    """Return the run with these measurements: the throughput of its pass, latencies by query."""
    found = [
        Measurement(metric="throughput", unit="rows/s", values=(rate,), number=0),
        Measurement(metric="balance", values=(balance,), number=0),
    ]
    found += [
        Measurement(
            metric="latency",
            unit="ms",
            values=tuple(latency * part for part in (0.5, 0.8, 1.0)),
            number=0,
            item=query,
        )
        for query in QUERIES
    ]
    return msgspec.structs.replace(run, measurements=tuple(found))


def campaign(
    counts: Sequence[int] = (1, 2),
    repeats: int = 5,
    *,
    rate: Callable[[int], float] = lambda n: 1000.0 * n**0.8,
    latency: Callable[[int], float] = lambda n: 40.0 / n**0.2,
    balance: Callable[[int], float] = lambda n: n - 1.5,
    workloads: Sequence[str] = ("spark-logreg",),
) -> tuple[list[Case], list[Run]]:
    """Return cases and runs; every run is a little off, all its metrics alike."""
    make = Maker()
    cases = [case(name, n) for name in workloads for n in counts]
    runs = []
    for repeat in range(repeats):
        for of in cases:
            off, n = JITTER[repeat], of.workers
            if of.workload != workloads[0]:
                off *= 1.5
            runs.append(
                measured(
                    make.run(of, 10.0 * off / n, repeat),
                    rate(n) * off,
                    latency(n) * off,
                    balance(n) * off,
                )
            )
    return cases, runs


def analysed(metric: str, *, declared: bool = True, **changes: Any) -> StudyAnalysis:
    """Return the analysis of the campaign with this headline."""
    cases, runs = campaign(**changes)
    bundles = {one.digest: one for one in map(bundle, cases)} if declared else {}
    return analysis_of([session(cases)], [], runs, metric=metric, bundles=bundles)
