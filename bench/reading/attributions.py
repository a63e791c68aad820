"""Computes the attribution of a run's work from the run's files."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bench.analysis.attribution.attribution import (
    Attribution,
    Rank,
    attribute,
    attribute_tensorflow,
)
from bench.errors import TelemetryError
from bench.records import spark_log
from bench.records.results import Run
from bench.records.study import Case
from bench.run_files import spark_event_log, workload_log
from bench.run_files.workload_log import Log
from bench.store import Store

_STEP = 0.05  # s and 1 %: by how much the wall clock may differ from the monotonic one


def attributions(
    store: Store, runs: Iterable[tuple[Run, Case]], note: Callable[[str], None]
) -> dict[str, Attribution]:
    """Return the attributions of these runs by their ids; ``note`` gets each unreadable log."""
    by_run = {}
    for run, case in runs:
        try:
            parts = attribution(store, run, case)
        except TelemetryError as error:
            note(f"{run.run}: {error}")
            continue
        if parts is not None:
            by_run[run.run] = parts
    return by_run


def attribution(store: Store, run: Run, case: Case) -> Attribution | None:
    """Return where a run's work went, or None if its logs are missing.

    Raises TelemetryError for a Spark event log that cannot be read.
    """
    folder = store.folder(run.run)
    path = folder / spark_log.FILE
    if path.is_file():
        window = workload_log.read(folder / "driver.log", run.run).window
        if window is None or clock_was_set(run, window):
            return None
        return attribute(
            spark_event_log.read(path), *window, slots=run.workers_wanted * case.worker.cores
        )
    logs = {
        int(path.stem.removeprefix("rank-")): workload_log.read(path, run.run)
        for path in folder.glob("rank-*.log")
        if path.stem.removeprefix("rank-").isdecimal()
    }
    ranks = [_rank(rank, log, log.work) for rank, log in sorted(logs.items()) if log.work]
    if not ranks or len(ranks) < run.workers_wanted:
        return None
    return attribute_tensorflow(ranks, cores=case.worker.cores)


def _rank(rank: int, log: Log, work: float) -> Rank:
    """Return a rank's report; its collectives need both figures."""
    wall, cpu = log.total("collective"), log.total("collective_cpu")
    if wall is None or cpu is None:
        return Rank(rank=rank, wall=work, stages=log.stages)
    return Rank(rank=rank, wall=work, stages=log.stages, collective=wall, collective_cpu=cpu)


def clock_was_set(run: Run, window: tuple[float, float]) -> bool:
    """Return whether the wall clock of Spark's log differs from the monotonic clock."""
    begin, end = window
    work = run.phases.get("work", end - begin)
    return abs(end - begin - work) > _STEP + 0.01 * work
