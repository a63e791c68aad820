"""``benchcast whatif``: one Spark run's work, replayed on other numbers of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.common import (
    RESULTS,
    JsonOption,
    OptionalStudy,
    ResultsOption,
    console,
    find_run,
    print_json,
)
from bench.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from bench.analysis.replay.replay import Answer, Replay

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
    from bench.reading.replays import replay_run

    counts = _counts(workers)
    store, chosen = find_run(run, study, results)
    answer = replay_run(store, store.read(), chosen, counts)
    if json:
        data = {
            "run": chosen.run,
            "curve": answer.curve,
            "replay": answer.replay,
            "answers": answer.answers,
        }
        print_json("whatif", store.root.name, data)
        return
    out = console()
    out.print(_table(f"{answer.curve}: work, replayed from {chosen.run}", answer.answers))
    for text in _words(answer.replay):
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
