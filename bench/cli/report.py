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
    chosen_metric,
    console,
    load_study,
    print_json,
    results_of,
    with_results,
)
from bench.cli.watch import follow
from bench.errors import UserError, nearest

if TYPE_CHECKING:
    from bench.analysis.runs.relabel import Planned
    from bench.analysis.study_types import StudyAnalysis
    from bench.records.results import Run
    from bench.records.study import Study
    from bench.store.folder import Store
    from bench.store.reader import Results

Samples = dict[str, dict[str, list[object]]]


def report(
    study: StudyArgument,
    results: ResultsOption = RESULTS,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the page; default reports/STUDY.")
    ] = None,
    where: WhereOption = None,
    metric: MetricOption = None,
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
        typer.Option("--watch", help="Write the page anew whenever results come, until Ctrl-C."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Write one self-contained page, with Markdown, CSV and figures beside it."""
    from bench import report as pages

    store = results_of(study, results) if watch else with_results(study, results)
    folder = out or Path("reports") / store.root.name

    def analysed() -> StudyAnalysis:
        found = analysis_of(store, study, where, allow or (), metric)
        _known(allow or (), found)
        return found

    if watch:
        if json:
            raise UserError("--watch and --json do not go together", remedy="leave one out")
        follow(store.root, analysed, folder, open_=open_)
        return
    found = analysed()
    page = pages.write(found, folder)
    if json:
        print_json("report", store.root.name, {"page": str(page), "analysis": found})
    else:
        from bench.report.terminal import print_analysis

        print_analysis(found, console())
        typer.echo(f"page: {page}")
    if open_:
        typer.launch(page.resolve().as_uri())


def analysis_of(
    store: Store,
    study: str,
    where: list[str] | None,
    allow: Sequence[str] = (),
    metric: str | None = None,
) -> StudyAnalysis:
    """Read a store and analyse it; with a study file its cells tell what is of an earlier one.

    ``allow`` names the differences that the reader accepts, ``metric`` the headline (default: that
    of the study). Runs of the study's cells take the labels that it gives them now.
    """
    from bench.analysis.runs import representatives
    from bench.analysis.runs.grouping import select
    from bench.analysis.runs.types import Terms
    from bench.analysis.study import analyse
    from bench.analysis.study_types import StudyRuns
    from bench.cli.attributed import attributions

    known = store.read()
    for text in known.warnings:
        console(stderr=True).print(f"warning: {text}", markup=False)
    file, planned = _planned(study, known.runs)
    headline = chosen_metric(metric, known, file)
    named = _with_labels(known, planned or {})
    chosen = cell_filter(where)
    selection = select(
        named.cases,
        [run for run in named.runs if chosen(run.cell)],
        planned and {key for key, (cell, _) in planned.items() if chosen(cell)},
        metric=headline,
        bundles=known.bundles,
    )
    drawn = [run.run for run in representatives.of_curves(selection.lines)]
    data = StudyRuns(
        selection=selection,
        sessions=tuple(named.sessions.values()),
        cases=named.cases,
        machines=known.machines,
        samples=_samples(store, drawn, "samples"),
        gpus=_samples(store, drawn, "gpu"),
        attributions=attributions(store, representatives.of_cells(selection.lines)),
        lives=named.lives,
        limits={one.task: one.quality for one in known.bundles.values()},
    )
    return analyse(data, Terms(allow=allow))


def _with_labels(known: Results, planned: Planned) -> Results:
    """Return the results under the names that the study gives to its cells now."""
    import msgspec

    from bench.analysis.runs import relabel

    runs = relabel.relabelled(known.runs, planned)
    names = relabel.environments(known.runs, runs)
    return msgspec.structs.replace(
        known,
        runs=runs,
        cases={**known.cases, **{cell.case: case for cell, case in planned.values()}},
        sessions={key: relabel.renamed_session(one, names) for key, one in known.sessions.items()},
        lives={key: relabel.renamed_life(one, names) for key, one in known.lives.items()},
    )


def _known(allow: Sequence[str], found: StudyAnalysis) -> None:
    """Raise UserError for an accepted difference that no comparison has."""
    names = sorted(
        {one.name for verdict in found.comparison.verdicts for one in verdict.differences}
    )
    for name in allow:
        if name not in names:
            there = f"allowed here: {', '.join(names)}" if names else "there are none here"
            raise UserError(
                f"--allow {name}: no comparison has this difference; {there}",
                remedy=nearest(name, names),
            )


def _planned(study: str, runs: Sequence[Run]) -> tuple[Study | None, Planned | None]:
    """Return the study of a file and the cells that it calls for; None without a file."""
    path = Path(study)
    if not path.is_file():
        return None, None
    from bench.plan.progress import Index
    from bench.runner import resolve

    resolved = resolve(load_study(path), path.parent)
    plan = resolved.plan()
    cells = plan.planned(Index(runs))
    return resolved.study, {cell.key: (cell, plan.case(cell)) for cell in cells}


def _samples(store: Store, runs: Sequence[str], name: str) -> Samples:
    import pyarrow.parquet as parquet

    found: Samples = {}
    for run in runs:
        path = store.folder(run) / f"{name}.parquet"
        if path.is_file():
            found[run] = parquet.read_table(path).to_pydict()
    return found
