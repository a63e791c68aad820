"""``benchcast report``: the page of a study, with its tables and figures beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.common import (
    RESULTS,
    JsonOption,
    MetricOption,
    ResultsOption,
    StudyArgument,
    WhereOption,
    cell_filter,
    console,
    load_study,
    print_json,
    results_of,
    warn,
    with_results,
)
from bench.cli.watch import follow
from bench.errors import UserError

if TYPE_CHECKING:
    from bench.analysis.study_types import StudyAnalysis
    from bench.records.results import Run
    from bench.records.study import Case, Cell


def report(
    study: StudyArgument,
    results: ResultsOption = RESULTS,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the page; default reports/STUDY.")
    ] = None,
    where: WhereOption = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow",
            metavar="FACT",
            help="Accept a difference between compared runs, by its name; repeatable.",
        ),
    ] = None,
    metric: MetricOption = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Rewrite the page as results arrive; stop with Ctrl-C."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Write one self-contained page, with Markdown, CSV and figures beside it."""
    from bench import report as pages
    from bench.reading.study import Question, answers

    store = results_of(study, results) if watch else with_results(study, results)
    folder = out or Path("reports") / store.root.name

    def analysed() -> StudyAnalysis:
        question = Question(
            planned=_planned(study, store.read().runs, where),
            chosen=cell_filter(where),
            metric=metric,
            allow=allow or (),
        )
        return answers(store, question, warn)

    if watch:
        if json:
            raise UserError("--watch and --json do not go together", remedy="leave one out")
        follow(store.root, analysed, folder, open_=open_)
        return
    analysis = analysed()
    page = pages.write(analysis, folder)
    if json:
        print_json("report", store.root.name, {"page": str(page), "analysis": analysis})
    else:
        from bench.report.terminal import print_analysis

        print_analysis(analysis, console())
        typer.echo(f"page: {page}")
    if open_:
        typer.launch(page.resolve().as_uri())


def _planned(
    study: str, runs: Sequence[Run], where: list[str] | None
) -> dict[str, tuple[Cell, Case]] | None:
    """Return the cells that the study calls for, where the study's file is at hand."""
    path = Path(study)
    if not path.is_file():
        return None
    from bench.plan.progress import Index
    from bench.runner import resolve

    chosen = cell_filter(where)
    plan = resolve(load_study(path), path.parent).plan()
    return {cell.key: (cell, plan.case(cell)) for cell in plan.planned(Index(runs)) if chosen(cell)}
