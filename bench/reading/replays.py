"""From a stored Spark run to its work on other numbers of workers."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bench import environments
from bench.analysis.replay.limits import Partitions
from bench.analysis.replay.replay import Answer, Replay, beside, replay
from bench.analysis.runs.grouping import CurveRuns, select
from bench.engines import ENGINES
from bench.errors import UserError
from bench.reading.attributions import clock_was_set
from bench.records import spark_log
from bench.records.results import Run
from bench.records.spark_log import SparkLog
from bench.records.study import Case
from bench.run_files import spark_event_log, workload_log
from bench.store import Results, Store


class RunReplay(msgspec.Struct, frozen=True, kw_only=True):
    """A run's work replayed: ``answers`` are its points beside what was measured there."""

    curve: str
    replay: Replay
    answers: tuple[Answer, ...]


def replay_run(store: Store, stored: Results, run: Run, counts: Sequence[int]) -> RunReplay:
    """Replay a run's work on these worker counts; UserError where it cannot be replayed."""
    line, case = _line(stored, run)
    log, (begin, end) = _log(store, run), _window(store, run)
    replayed = _replay(log, begin, end, run, case, stored, list(counts))
    measured = {
        group.workers: [
            counted.phases["work"] for counted in group.counted if "work" in counted.phases
        ]
        for group in line.groups
    }
    return RunReplay(curve=line.label, replay=replayed, answers=beside(replayed, measured))


def _line(stored: Results, run: Run) -> tuple[CurveRuns, Case]:
    """Return a run's curve and case; UserError unless it is a successful Spark run."""
    if run.status != "ok":
        reason = f": {run.reason}" if run.reason else ""
        raise UserError(f"{run.run} ended {run.status}{reason}; only a run that ended ok replays")
    lines = select(stored.cases, stored.runs).lines
    # A run that another session superseded is on no curve, but it still has a case.
    own = select(stored.cases, [run]).lines[0]
    line = next((each for each in lines if run in (r for g in each.groups for r in g.runs)), own)
    if own.case is None:
        raise UserError(f"{run.run}: its case is not in {run.session}.jsonl")
    able = [engine.name for engine in ENGINES.values() if engine.logs_tasks]
    if own.case.engine not in able:
        raise UserError(
            f"{run.run} is a run of {own.case.engine}, which keeps no log of its tasks;"
            f" {', '.join(able)} does"
        )
    return line, own.case


def _log(store: Store, run: Run) -> SparkLog:
    """Read the run's event log; UserError where there is none, or not all of it."""
    path = store.folder(run.run) / spark_log.FILE
    if not path.exists():
        raise UserError(
            f"{run.run} has no Spark event log ({path.name}) in {path.parent}",
            remedy="copy the run's folder here too, or run it again",
        )
    log = spark_event_log.read(path)
    if log.partial:
        raise UserError(
            f"{run.run}: its Spark event log is not whole ({log.partial}), so its work cannot be"
            " replayed",
            remedy="use another run of the same cell",
        )
    return log


def _window(store: Store, run: Run) -> tuple[float, float]:
    """Return when the run's work began and ended (s since the epoch), from its driver's log."""
    path = store.folder(run.run) / "driver.log"
    window = workload_log.read(path, run.run).window
    if window is None:
        raise UserError(
            f"{run.run}: no {path.name} in {path.parent} that says when its work began and ended",
            remedy="copy the run's folder here too, or run it again",
        )
    begin, end = window
    if clock_was_set(run, window):
        raise UserError(
            f"{run.run}: its work took {run.phases['work']:.1f} s, by the clock of its logs"
            f" {end - begin:.1f} s: the machine's clock was set meanwhile, so the times of its"
            " tasks cannot be used",
            remedy="use another run of the same cell",
        )
    return begin, end


def _replay(
    log: SparkLog,
    begin: float,
    end: float,
    run: Run,
    case: Case,
    stored: Results,
    counts: list[int],
) -> Replay:
    """Replay the work with the case's workers and partitions."""
    try:
        return replay(
            log,
            begin,
            end,
            workers=run.workers_seen or run.workers_wanted,
            cores=case.worker.cores,
            at=counts,
            seed=stored.sessions[run.session].study.seed,
            partitions=_partitions(case),
            worker_cpu=case.worker.cpu_limit or float(case.worker.cores),
            machine_cores=_machine_cores(stored, run, case),
            driver_cpu=case.driver.cpu_limit or float(case.driver.cores),
        )
    except ValueError as error:
        raise UserError(f"{run.run} cannot be replayed: {error}") from error


def _partitions(case: Case) -> Partitions | None:
    """Return how the workload partitions its data, from its parameter ``partitions``.

    0 means one partition for each core of the executors; without the parameter it is unstored.
    """
    value = case.params.get("partitions")
    if value is None:
        return None
    return "fixed" if value else "workers"


def _machine_cores(stored: Results, run: Run, case: Case) -> float | None:
    """Return the cores of the machine that all workers share; None if each has its own."""
    specs = stored.sessions[run.session].study.environments
    spec = next((each for each in specs if each.name == case.environment), None)
    machine = stored.machines.get(run.machines[0]) if run.machines else None
    if spec is None or machine is None or not environments.shares_machine(spec.kind):
        return None
    return float(machine.cores)
