"""``benchcast report``: the page of a study, with its tables and figures beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.common import (
    RESULTS,
    JsonOption,
    ResultsOption,
    StudyArgument,
    WhereOption,
    cell_filter,
    console,
    load_study,
    print_json,
    results_of,
    with_results,
)
from bench.cli.watch import follow
from bench.errors import UserError, nearest

if TYPE_CHECKING:
    from bench.analysis.study_types import StudyAnalysis
    from bench.records.results import Run
    from bench.store.folder import Store

Samples = dict[str, dict[str, list[object]]]


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
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Rewrite the page as results arrive; stop with Ctrl-C."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Write one self-contained page, with Markdown, CSV and figures beside it."""
    from bench import report as pages

    store = results_of(study, results) if watch else with_results(study, results)
    folder = out or Path("reports") / store.root.name

    def analysed() -> StudyAnalysis:
        analysis = analysis_of(store, study, where, allow or ())
        _check_allowed(allow or (), analysis)
        return analysis

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


def analysis_of(
    store: Store, study: str, where: list[str] | None, allow: Sequence[str] = ()
) -> StudyAnalysis:
    """Read a store and analyse it; a study file shows which runs belong to an earlier version.

    ``allow`` names the differences that the reader accepts.
    """
    from bench.analysis.runs import representatives
    from bench.analysis.runs.grouping import select
    from bench.analysis.runs.types import Terms
    from bench.analysis.study import analyse
    from bench.analysis.study_types import StudyRuns
    from bench.cli.attributed import attributions

    stored = store.read()
    for text in stored.warnings:
        console(stderr=True).print(f"warning: {text}", markup=False)
    chosen = cell_filter(where)
    runs = [run for run in stored.runs if chosen(run.cell)]
    selection = select(stored.cases, runs, _planned(study, where, stored.runs))
    drawn = [run.run for run in representatives.of_curves(selection.lines)]
    data = StudyRuns(
        selection=selection,
        sessions=tuple(stored.sessions.values()),
        cases=stored.cases,
        machines=stored.machines,
        samples=_samples(store, drawn, "samples"),
        gpus=_samples(store, drawn, "gpu"),
        attributions=attributions(store, representatives.of_cells(selection.lines)),
        lives=stored.lives,
        limits={bundle.task: bundle.quality for bundle in stored.bundles.values()},
    )
    return analyse(data, Terms(allow=allow))


def _check_allowed(allow: Sequence[str], analysis: StudyAnalysis) -> None:
    """Raise UserError for an accepted difference that no comparison has."""
    names = sorted(
        {
            difference.name
            for verdict in analysis.comparison.verdicts
            for difference in verdict.differences
        }
    )
    for name in allow:
        if name not in names:
            there = f"allowed here: {', '.join(names)}" if names else "there are none here"
            raise UserError(
                f"--allow {name}: no comparison has this difference; {there}",
                remedy=nearest(name, names),
            )


def _planned(study: str, where: list[str] | None, runs: Sequence[Run]) -> set[str] | None:
    """Return the keys of the study's planned cells, or None without its file."""
    path = Path(study)
    if not path.is_file():
        return None
    from bench.plan.progress import Index
    from bench.runner import resolve

    chosen = cell_filter(where)
    resolved = resolve(load_study(path), path.parent)
    return {cell.key for cell in resolved.plan().planned(Index(runs)) if chosen(cell)}


def _samples(store: Store, runs: Sequence[str], name: str) -> Samples:
    from pyarrow import parquet

    samples: Samples = {}
    for run in runs:
        path = store.folder(run) / f"{name}.parquet"
        if path.is_file():
            samples[run] = parquet.read_table(path).to_pydict()
    return samples
