"""``benchcast run``: run the remaining cells of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.common import (
    RESULTS,
    JsonOption,
    ResultsOption,
    StudyFileArgument,
    WhereOption,
    cell_filter,
    console,
    load_study,
    print_json,
    results_of,
    study_file,
)
from bench.errors import UserError

if TYPE_CHECKING:
    from bench.runner import CampaignSummary

NOT_MEASURED = 3


def run(
    study: StudyFileArgument,
    results: ResultsOption = RESULTS,
    new: Annotated[
        bool, typer.Option("--new", help="Start a new campaign: run every cell again.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Give failed cells one more attempt.")
    ] = False,
    max_time: Annotated[
        str | None, typer.Option("--max-time", metavar="'8 h'", help="Stop after this much time.")
    ] = None,
    where: WhereOption = None,
    json: JsonOption = False,
) -> None:
    """Run the remaining cells of a study; a second run continues where the first stopped."""
    from bench import runner
    from bench.cli.progress import follow
    from bench.contracts import Finding

    path = study_file(study)
    limit = None if max_time is None else _seconds(max_time)
    err, store = console(stderr=True), results_of(study, results)
    with runner.prepare(load_study(path), path.parent) as prepared:
        prepared.raise_if_unfit()
        for finding in prepared.findings:
            err.print(f"{finding.severity}: {finding}", markup=False)
        with follow(err, prepared.lanes()) as listener:
            summary = runner.run(
                prepared,
                store,
                listener,
                new=new,
                retry_failed=retry_failed,
                max_time=limit,
                where=cell_filter(where),
            )
    if json:
        notes = [Finding(severity="info", scope="study", what=text) for text in listener.notes]
        print_json("run", prepared.study.name, summary, [*prepared.findings, *notes])
    else:
        _print(summary, study)
    if summary.unsuccessful:
        raise typer.Exit(NOT_MEASURED)


def _seconds(text: str) -> float:
    from bench.units import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UserError(f"--max-time: {error}") from error


def _print(summary: CampaignSummary, study: str) -> None:
    counts = {
        "ok": summary.ok,
        "failed": summary.failed,
        "timed out": summary.timeout,
        "skipped": summary.skipped,
        "still to run": summary.remaining,
    }
    session = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
    typer.echo(f"this session: {session or 'nothing left to run'}")
    if summary.unsuccessful:
        typer.echo(
            f"{summary.unsuccessful} cells have no good run; 'benchcast list {study}' shows the "
            "reasons, --retry-failed tries them again",
            err=True,
        )
    typer.echo(f"next: benchcast report {study}")
