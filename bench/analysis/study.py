"""The answers to all questions about one study, put together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from bench.analysis.attribution.losses import losses
from bench.analysis.comparison.compare import compare
from bench.analysis.runs.cells import summaries, total
from bench.analysis.runs.metric_rows import metric_rows, unreported
from bench.analysis.runs.metrics import shared
from bench.analysis.runs.provisioning import provision_times
from bench.analysis.runs.rows import run_rows, session_rows
from bench.analysis.runs.study_facts import latest, study_facts, versions
from bench.analysis.runs.trends import drift
from bench.analysis.runs.types import CellSummary, ProvisionTimes, Terms
from bench.analysis.runs.utilization import utilizations
from bench.analysis.scaling.curve import scaling
from bench.analysis.study_types import StudyAnalysis, StudyRuns
from bench.records.results import Machine
from bench.text import plural


def analyse(data: StudyRuns, terms: Terms | None = None) -> StudyAnalysis:
    """Return the answers to all questions about one study's runs."""
    terms = terms or Terms()
    selection, lines = data.selection, data.selection.lines
    own = summaries(lines, terms.level)
    cells = [cell for curve in own for cell in curve]
    newest = latest(data.sessions)
    sampling = {session.session: session.study.sampling for session in data.sessions}
    analysis = StudyAnalysis(
        title=newest.study.title if newest else "Runs without a session",
        study=newest.study.name if newest else "",
        metric=shared([line.metric for line in lines], selection.metric),
        level=terms.level,
        counts=total(cells),
        planned=selection.planned,
        scaling=scaling(lines, own, terms.level),
        comparison=compare(lines, terms, data.limits, data.machines),
        attribution=losses(lines, data.attributions),
        utilization=utilizations(lines, data.samples, data.gpus, sampling),
        metrics=metric_rows(lines, own, selection.bundles, terms.level),
        unreported=unreported(lines, selection.bundles),
        provisioning=_provisioning(data),
        trends=drift(cells, selection.runs),
        runs=run_rows(selection, own),
        sessions=session_rows(data.sessions, selection.runs),
        machines=_machines(data),
        versions=versions(selection.runs),
        facts=study_facts(data.sessions, data.cases, selection.runs, selection.metric),
    )
    return msgspec.structs.replace(analysis, unknown=tuple(_unknown(analysis)))


def _provisioning(data: StudyRuns) -> tuple[ProvisionTimes, ...]:
    """Return how long the machines of the clusters took that these runs ran on."""
    clusters = {(run.session, run.cluster) for run in data.selection.runs}
    lives = [line for cluster, line in data.lives.items() if cluster in clusters]
    return provision_times(lives, data.machines)


def _machines(data: StudyRuns) -> tuple[Machine, ...]:
    """Return the machines that the runs name, as far as they are known."""
    used = {digest for run in data.selection.runs for digest in run.machines}
    return tuple(data.machines[digest] for digest in sorted(used & data.machines.keys()))


def _unknown(analysis: StudyAnalysis) -> Iterator[str]:
    """Yield in words what the data does not tell."""
    cells = [point.cell for point in analysis.scaling.points]
    yield from _unknown_of(cells)
    if cells and analysis.metric.direction is None:
        yield (
            f"which direction of {analysis.metric.name} is better: no manifest of these results "
            "declares it, so nothing is called faster or better"
        )
    if analysis.planned is not None and analysis.counts.ok < analysis.planned:
        yield (
            f"{analysis.planned - analysis.counts.ok} of {analysis.planned} planned runs have "
            "no result that counts yet"
        )
    if len({cell.workers for cell in cells}) == 1:
        yield "only one worker count was measured, so nothing is known about scaling"
    if cells and not analysis.utilization:
        yield "no samples of CPU and memory were kept for the runs that stand for a curve"
    if any(row.counted and not row.figures for row in analysis.runs):
        yield "some runs report no quality, so it is not proven that they found the model"
    if not analysis.machines and analysis.runs:
        yield "no facts about the machines were recorded"
    if any(session.dirty for session in analysis.sessions):
        yield "a session ran from a repository with changes that were not committed"


def _unknown_of(cells: Sequence[CellSummary]) -> Iterator[str]:
    """Yield in words what single cells do not tell."""
    for cell in cells:
        if cell.note:
            yield f"{cell.label}, {plural(cell.workers, 'worker')}: {cell.note}"
    single = sum(cell.value is not None and cell.value.low is None for cell in cells)
    if single:
        yield f"{single} cells have one run only: their spread is not known, so no interval"
