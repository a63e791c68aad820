"""From a results folder to the answers about its study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from bench.analysis.runs import representatives
from bench.analysis.runs.grouping import select
from bench.analysis.runs.metrics import names
from bench.analysis.runs.relabel import (
    Planned,
    environments,
    relabelled,
    renamed_life,
    renamed_session,
)
from bench.analysis.runs.types import Terms
from bench.analysis.study import analyse
from bench.analysis.study_types import StudyAnalysis, StudyRuns
from bench.errors import UserError, nearest
from bench.reading.attributions import attributions
from bench.records.metrics import TIME
from bench.records.results import Bundle, Run, Session
from bench.records.study import Cell
from bench.store import Store


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader asks of a results folder.

    ``planned`` are the study's cells with their cases where its file is at hand: runs of others
    are of an earlier study, and labels are the file's. ``chosen`` selects cells, ``metric`` is the
    headline (None: the latest study's), ``allow`` names differences that the reader accepts.
    """

    planned: Planned | None = None
    chosen: Callable[[Cell], bool] = lambda _: True
    metric: str | None = None
    allow: Sequence[str] = ()


def answers(store: Store, question: Question, note: Callable[[str], None]) -> StudyAnalysis:
    """Analyse the runs of a results folder; ``note`` gets what could not be read.

    UserError for a metric that no run reports, or an accepted difference that nothing has.
    """
    results = store.read()
    for text in results.warnings:
        note(text)
    planned = question.planned or {}
    renamed = relabelled(results.runs, planned)
    places = environments(results.runs, renamed)
    cases = {**results.cases, **{cell.case: case for cell, case in planned.values()}}
    runs = [run for run in renamed if question.chosen(run.cell)]
    sessions = [renamed_session(session, places) for session in results.sessions.values()]
    selection = select(
        cases,
        runs,
        None if question.planned is None else {key for key in planned},
        metric=_metric(question.metric, sessions, runs, results.bundles),
        bundles=results.bundles,
    )
    drawn = [run.run for run in representatives.of_curves(selection.lines)]
    data = StudyRuns(
        selection=selection,
        sessions=tuple(sessions),
        cases=cases,
        machines=results.machines,
        samples=_samples(store, drawn, "samples"),
        gpus=_samples(store, drawn, "gpu"),
        attributions=attributions(store, representatives.of_cells(selection.lines), note),
        lives={at: renamed_life(life, places) for at, life in results.lives.items()},
        limits={bundle.task: bundle.quality for bundle in results.bundles.values()},
    )
    analysis = analyse(data, Terms(allow=question.allow))
    _check_allowed(question.allow, analysis)
    return analysis


def _metric(
    asked: str | None,
    sessions: Sequence[Session],
    runs: Sequence[Run],
    bundles: Mapping[str, Bundle],
) -> str:
    """Return the headline: the one that is asked for, else the latest study's."""
    if asked is None:
        latest = max(sessions, key=lambda session: session.started_at, default=None)
        return TIME if latest is None else latest.study.metric
    metrics = names(runs, bundles)
    if asked not in metrics:
        raise UserError(
            f"--metric {asked}: these results have no such metric; allowed: {', '.join(metrics)}",
            remedy=nearest(asked, metrics),
        )
    return asked


def _check_allowed(allow: Sequence[str], analysis: StudyAnalysis) -> None:
    """Raise UserError for an accepted difference that no comparison has."""
    verdicts = analysis.comparison.verdicts
    differences = sorted(
        {difference.name for verdict in verdicts for difference in verdict.differences}
    )
    for name in allow:
        if name not in differences:
            there = (
                f"allowed here: {', '.join(differences)}" if differences else "there are none here"
            )
            raise UserError(
                f"--allow {name}: no comparison has this difference; {there}",
                remedy=nearest(name, differences),
            )


def _samples(store: Store, runs: Sequence[str], name: str) -> dict[str, dict[str, list[object]]]:
    """Return the columns of the runs' samples, as far as they are kept."""
    from pyarrow import parquet

    paths = {run: store.folder(run) / f"{name}.parquet" for run in runs}
    return {
        run: parquet.read_table(path).to_pydict() for run, path in paths.items() if path.is_file()
    }
