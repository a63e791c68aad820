"""Every run and every session, as a report lists them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.analysis.runs.grouping import Selection, others
from bench.analysis.runs.headline import headline
from bench.analysis.runs.metrics import MetricRule
from bench.analysis.runs.types import CellSummary, Doubt, RunRow, SessionRow
from bench.records.results import Run, Session


def run_rows(selection: Selection, cells: Sequence[Sequence[CellSummary]]) -> tuple[RunRow, ...]:
    """Return every run with what became of it; ``cells`` are those of the selection's curves."""
    cell_of = {
        run.run: cell.id
        for line, own in zip(selection.lines, cells, strict=True)
        for group, cell in zip(line.groups, own, strict=True)
        for run in group.runs
    }
    doubts: dict[str, list[Doubt]] = {}
    for doubt in (doubt for own in cells for cell in own for doubt in cell.doubts):
        doubts.setdefault(doubt.run, []).append(doubt)
    why_not = selection.why_not
    return tuple(
        _row(
            run,
            cell_of.get(run.run),
            why_not.get(run.run, ""),
            doubts.get(run.run, ()),
            selection.rule(run),
        )
        for run in selection.runs
    )


def _row(
    run: Run, cell: str | None, why_not: str, doubts: Sequence[Doubt], metric: MetricRule
) -> RunRow:
    """Return one run as it is listed."""
    head = headline(run, metric)
    return RunRow(
        run=run.run,
        cell=cell,
        workload=run.cell.workload,
        environment=run.cell.environment,
        workers=run.cell.workers,
        factors=others(run.cell.factors),
        repeat=run.cell.repeat,
        attempt=run.attempt,
        status=run.status,
        reason=run.reason,
        counted=not why_not,
        why_not=why_not,
        value=head.value if head else None,
        unit=head.unit if head else metric.unit,
        which=head.which if head else "",
        passes=run.passes,
        phases=run.phases,
        started_at=run.started_at,
        session=run.session,
        machines=run.machines,
        versions=run.versions,
        figures=run.quality.numbers if run.quality else {},
        workers_seen=run.workers_seen,
        events=run.events,
        doubts=tuple(doubts),
    )


def session_rows(sessions: Iterable[Session], runs: Sequence[Run]) -> tuple[SessionRow, ...]:
    """Return the sessions in the order of their start."""
    return tuple(
        SessionRow(
            session=one.session,
            campaign=one.campaign,
            started_at=one.started_at,
            host=one.host,
            benchcast=one.benchcast,
            commit=one.commit,
            dirty=one.dirty,
            runs=sum(run.session == one.session for run in runs),
        )
        for one in sorted(sessions, key=lambda one: one.started_at)
    )
