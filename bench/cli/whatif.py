"""``benchcast whatif``: one Spark run's work, replayed on other numbers of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.attributed import clock_was_set
from bench.cli.common import RESULTS, JsonOption, OptionalStudy, ResultsOption, console, print_json
from bench.cli.show import find_run
from bench.errors import UserError
from bench.records import spark_log

if TYPE_CHECKING:
    from rich.table import Table

    from bench.analysis.replay.limits import Partitions
    from bench.analysis.replay.replay import Answer, Replay
    from bench.analysis.runs.grouping import CurveRuns
    from bench.records.results import Run
    from bench.records.spark_log import SparkLog
    from bench.records.study import Case
    from bench.store.folder import Store
    from bench.store.reader import Results

_MOST = 10_000  # workers
_HEAD = ("workers", "work", "interval", "measured", "runs", "error", "not known, because")


def whatif(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The start of a run's id, or 'last'.")],
    study: OptionalStudy = None,
    workers: Annotated[
        str, typer.Option("--workers", help="Worker counts, with commas between them.")
    ] = "1,2,4,8",
    results: ResultsOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """Estimate from one Spark run how long its work would take on other numbers of workers."""
    from bench.analysis.replay.replay import beside

    counts = _counts(workers)
    store, chosen = find_run(run, study, results)
    stored = store.read()
    line, case = _line(stored, chosen)
    log, (begin, end) = _log(store, chosen), _window(store, chosen)
    answer = _replay(log, begin, end, chosen, case, stored, counts)
    measured = {
        group.workers: [
            counted.phases["work"] for counted in group.counted if "work" in counted.phases
        ]
        for group in line.groups
    }
    answers = beside(answer, measured)
    if json:
        data = {"run": chosen.run, "curve": line.label, "replay": answer, "answers": answers}
        print_json("whatif", store.root.name, data)
        return
    out = console()
    out.print(_table(f"{line.label}: work, replayed from {chosen.run}", answers))
    for text in _words(answer):
        out.print(text, markup=False)


def _counts(text: str) -> list[int]:
    """Return the worker counts of "1,2,4", sorted, each once."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= _MOST for part in parts):
        raise UserError(
            f"--workers {text}: whole numbers from 1 to {_MOST} with commas between them are"
            " allowed, such as 1,2,4"
        )
    return sorted({int(part) for part in parts})


def _line(stored: Results, run: Run) -> tuple[CurveRuns, Case]:
    """Return the curve and the case of a run; UserError unless it is a successful Spark run."""
    from bench.analysis.runs.grouping import select
    from bench.engines import ENGINES

    if run.status != "ok":
        reason = f": {run.reason}" if run.reason else ""
        raise UserError(f"{run.run} ended {run.status}{reason}; only a run that ended ok replays")
    lines = select(stored.cases, stored.runs).lines
    # A run that another session superseded is on no curve, but it still has a case.
    own = select(stored.cases, [run]).lines[0]
    line = next(
        (candidate for candidate in lines if run in (r for g in candidate.groups for r in g.runs)),
        own,
    )
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
    from bench.run_files.spark_event_log import read

    path = store.folder(run.run) / spark_log.FILE
    if not path.exists():
        raise UserError(
            f"{run.run} has no Spark event log ({path.name}) in {path.parent}",
            remedy="copy the run's folder here too, or run it again",
        )
    log = read(path)
    if log.partial:
        raise UserError(
            f"{run.run}: its Spark event log is not whole ({log.partial}), so its work cannot be"
            " replayed",
            remedy="use another run of the same cell",
        )
    return log


def _window(store: Store, run: Run) -> tuple[float, float]:
    """Return when the run's work began and ended (s since the epoch), from its driver's log."""
    from bench.run_files import workload_log

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
    from bench.analysis.replay.replay import replay

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

    0 means one partition for each core of the executors; without the parameter it is unknown.
    """
    value = case.params.get("partitions")
    if value is None:
        return None
    return "fixed" if value else "workers"


def _machine_cores(stored: Results, run: Run, case: Case) -> float | None:
    """Return the cores of the machine that all workers share; None if each has its own."""
    from bench import environments

    specs = stored.sessions[run.session].study.environments
    spec = next((each for each in specs if each.name == case.environment), None)
    machine = stored.machines.get(run.machines[0]) if run.machines else None
    if spec is None or machine is None or not environments.shares_machine(spec.kind):
        return None
    return float(machine.cores)


def _table(title: str, answers: tuple[Answer, ...]) -> Table:
    """Return a table with a row for each worker count."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from bench.report import format

    table = Table(title=Text(title), box=box.SIMPLE_HEAD, title_justify="left")
    for name in _HEAD:
        table.add_column(name, justify="left" if name == _HEAD[-1] else "right")
    for answer in answers:
        point = answer.point
        span = f"{format.number(point.low)} to {format.number(point.high)} s"
        row = (
            str(point.workers),
            format.seconds(point.seconds),
            f"from {format.seconds(point.low)}" if point.refused else span,
            format.seconds(answer.measured),
            str(answer.runs),
            format.ABSENT
            if answer.error is None
            else f"{round(answer.error * 100, 1) + 0.0:+.1f} %",
            point.refused,
        )
        table.add_row(*map(Text, row), style="yellow" if point.refused else "")
    return table


def _words(answer: Replay) -> list[str]:
    """Describe the basis of the replay."""
    from bench.report import format

    return [
        f"measured with {format.workers(answer.workers)}: {format.seconds(answer.measured)};"
        f" replayed there: {format.seconds(answer.replayed)}",
        f"driver alone, which no worker shortens: {format.seconds(answer.driver)};"
        f" start-up that each worker pays: {format.seconds(answer.startup)}",
        f"interval ({format.percent(answer.level)}): scatter of task times within this run; runs"
        " differ among each other by more",
        *(f"note: {text}" for text in answer.notes),
    ]
