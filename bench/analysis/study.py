"""Everything that a report says, put together from sessions, machines, runs and samples."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from bench.analysis.attribution.attribution import Attribution
from bench.analysis.attribution.losses import losses
from bench.analysis.comparison import verdict as compare
from bench.analysis.comparison.facts import distinct
from bench.analysis.comparison.types import Ratio, Verdict
from bench.analysis.runs.grouping import Line, Selection, others, select
from bench.analysis.runs.provisioning import making
from bench.analysis.runs.summary import cell, headline
from bench.analysis.runs.types import (
    CellSummary,
    Counts,
    Curve,
    Doubt,
    Fact,
    RunRow,
    SessionRow,
    Utilization,
)
from bench.analysis.runs.utilization import Columns, utilization
from bench.analysis.scaling import curve as scaling
from bench.analysis.statistics import trend
from bench.analysis.statistics.interval import LEVEL
from bench.analysis.statistics.types import Trend
from bench.analysis.study_types import StudyAnalysis
from bench.records.results import ClusterEvent, Machine, QualityLimits, Run, Session
from bench.records.study import Case, Study
from bench.units import format_duration, format_moment

Limits = Mapping[str, QualityLimits]


class _Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What comparisons are held to; see ``overview``."""

    limits: Limits
    allow: Collection[str]
    machines: Mapping[str, Machine]
    level: float


def overview(
    sessions: Iterable[Session],
    machines: Iterable[Machine],
    cases: Mapping[str, Case],
    runs: Iterable[Run],
    *,
    samples: Mapping[str, Columns] | None = None,
    gpus: Mapping[str, Columns] | None = None,
    attributions: Mapping[str, Attribution] | None = None,
    lives: Mapping[tuple[str, str], ClusterEvent] | None = None,
    limits: Limits | None = None,
    planned: Collection[str] | None = None,
    allow: Collection[str] = (),
    level: float = LEVEL,
) -> StudyAnalysis:
    """Return the overview of one study's runs.

    ``cases`` maps a digest to the case that cells name, ``samples`` a run's id to its samples'
    columns (see ``utilization``; only those that ``representatives`` names are looked at),
    ``gpus`` to those of its GPUs, ``attributions`` a run's id to where its work went (of the runs
    that ``losses.representative_runs`` names), ``lives`` session and cluster to the cluster's
    last event, ``limits`` a task to its quality limits, ``planned`` holds the keys of the study's
    cells, ``allow`` names differences that the reader accepts, ``level`` is the level of all
    intervals (0..1).
    """
    known = list(sessions)
    every = sorted({run.run: run for run in runs}.values(), key=lambda run: run.run)
    selection = select(cases, every, planned)
    cells = _cells(selection.lines, level)
    curves = tuple(_curve(line, cells[line.id], level) for line in selection.lines)
    facts = {one.digest: one for one in machines}
    terms = _Terms(limits=limits or {}, allow=allow, machines=facts, level=level)
    verdicts, ratios = _comparisons(selection.lines, terms)
    study = max(known, key=lambda one: one.started_at).study if known else None
    flat = tuple(one for found in cells.values() for one in found)
    used = {digest for run in every for digest in run.machines}
    clusters = {(run.session, run.cluster) for run in every}
    result = StudyAnalysis(
        title=study.title if study else "Runs without a session",
        study=study.name if study else "",
        level=level,
        counts=_total(flat),
        planned=None if planned is None else len(planned),
        curves=curves,
        cells=flat,
        verdicts=verdicts,
        ratios=ratios,
        utilization=_utilization(curves, samples or {}, gpus or {}, _rates(known, every)),
        losses=losses(curves, attributions or {}),
        runs=_rows(every, selection, cells),
        sessions=_sessions(known, every),
        machines=tuple(facts[digest] for digest in sorted(used & facts.keys())),
        versions=_versions(every),
        facts=_facts(known, cases, every),
        drift=_drift(flat, every),
        made=making([line for at, line in (lives or {}).items() if at in clusters], facts),
    )
    return _with_unknown(result)


def representatives(
    cases: Mapping[str, Case], runs: Iterable[Run], planned: Collection[str] | None = None
) -> tuple[str, ...]:
    """Return ids of the runs whose samples ``overview`` draws: one a curve."""
    lines = select(cases, runs, planned).lines
    found = [_representative(_cells([line], LEVEL)[line.id]) for line in lines]
    return tuple(run for run in found if run is not None)


def _cells(lines: Sequence[Line], level: float) -> dict[str, list[CellSummary]]:
    """Return the cells of each curve by its id, numbered through all curves."""
    found: dict[str, list[CellSummary]] = {}
    number = 0
    for line in lines:
        found[line.id] = []
        for group in line.groups:
            number += 1
            found[line.id].append(cell(f"cell-{number}", line.id, group.runs, group.counted, level))
    return found


def _curve(line: Line, cells: Sequence[CellSummary], level: float) -> Curve:
    """Return one curve with its points."""
    first = line.groups[0].runs[0].cell
    base = scaling.base_of(cells)
    return Curve(
        id=line.id,
        label=line.label,
        workload=first.workload,
        environment=first.environment,
        engine=line.case.engine if line.case else None,
        task=line.task,
        dataset=line.case.dataset if line.case else "",
        factors=others(first.factors),
        points=scaling.points(cells, level),
        base=base.workers if base else None,
        representative=_representative(cells),
    )


def _representative(cells: Sequence[CellSummary]) -> str | None:
    """Return the run nearest to the middle at the largest worker count that was measured."""
    measured = [one for one in cells if one.seconds is not None]
    if not measured:
        return None
    last = max(measured, key=lambda one: one.workers)
    middle = last.seconds.mid if last.seconds else 0.0
    return min(last.runs, key=lambda value: abs(value.seconds - middle)).run


def _comparisons(
    lines: Sequence[Line], terms: _Terms
) -> tuple[tuple[Verdict, ...], tuple[Ratio, ...]]:
    """Return the verdicts within and across curves, task by task, and ratios of comparable ones."""
    measured = [line for line in lines if line.counted]
    verdicts: list[Verdict] = []
    ratios: list[Ratio] = []
    for task in dict.fromkeys(line.task for line in measured):
        members = [line for line in measured if line.task == task]
        limits = terms.limits.get(task or "", compare.NO_LIMITS)
        known = (limits, terms.allow, terms.machines)
        inner = {line.id: compare.within(line, *known) for line in members}
        verdicts += inner.values()
        for left, right in compare.pairs(members):
            verdict = compare.across(left, right, *known)
            verdicts.append(verdict)
            if inner[left.id].comparable and inner[right.id].comparable:
                ratios += compare.ratios(verdict, left, right, terms.level)
    return tuple(verdicts), tuple(ratios)


def _rates(sessions: Sequence[Session], runs: Sequence[Run]) -> dict[str, float]:
    """Return by run the seconds from one sample to the next, where its session is known."""
    said = {one.session: one.study.sampling for one in sessions}
    return {run.run: said[run.session] for run in runs if run.session in said}


def _utilization(
    curves: Sequence[Curve],
    samples: Mapping[str, Columns],
    gpus: Mapping[str, Columns],
    rates: Mapping[str, float],
) -> tuple[Utilization, ...]:
    """Return the utilization of each curve's representative run that has samples."""
    found = []
    for curve in curves:
        run = curve.representative
        if run is not None and run in samples:
            workers = next(
                point.workers
                for point in curve.points
                if any(value.run == run for value in point.runs)
            )
            one = utilization(curve, run, workers, samples[run], gpus.get(run), rates.get(run))
            if one.series:
                found.append(one)
    return tuple(found)


def _rows(
    runs: Sequence[Run], selection: Selection, cells: Mapping[str, Sequence[CellSummary]]
) -> tuple[RunRow, ...]:
    """Return every run with what became of it."""
    place = {
        run.run: one.id
        for line in selection.lines
        for group, one in zip(line.groups, cells[line.id], strict=True)
        for run in group.runs
    }
    doubts: dict[str, list[Doubt]] = {}
    for one in (doubt for found in cells.values() for each in found for doubt in each.doubts):
        doubts.setdefault(one.run, []).append(one)
    why_not = selection.why_not
    return tuple(
        _row(run, place.get(run.run), why_not.get(run.run, ""), doubts.get(run.run, ()))
        for run in runs
    )


def _row(run: Run, place: str | None, why_not: str, doubts: Sequence[Doubt]) -> RunRow:
    """Return one run as it is listed."""
    head = headline(run)
    return RunRow(
        run=run.run,
        cell=place,
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
        seconds=head.seconds if head else None,
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


def _drift(cells: Sequence[CellSummary], runs: Sequence[Run]) -> tuple[Trend, ...]:
    """Return the trend over the order of each environment's runs, where there are enough."""
    position = {run.run: place for place, run in enumerate(runs)}
    found = []
    for name in dict.fromkeys(one.environment for one in cells):
        groups = [
            [(float(position[value.run]), value.seconds) for value in one.runs if value.seconds > 0]
            for one in cells
            if one.environment == name
        ]
        tested = trend.trend(name, groups)
        if tested is not None:
            found.append(tested)
    return tuple(found)


def _total(cells: Sequence[CellSummary]) -> Counts:
    """Return the counts of all cells together."""
    names = ("ok", "failed", "timeout", "skipped", "superseded")
    return Counts(**{name: sum(getattr(one.counts, name) for one in cells) for name in names})


def _sessions(sessions: Sequence[Session], runs: Sequence[Run]) -> tuple[SessionRow, ...]:
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


def _versions(runs: Sequence[Run]) -> tuple[Fact, ...]:
    """Return what the runs say of versions, all values of each name."""
    names = sorted({name for run in runs for name in run.versions})
    return tuple(
        Fact(
            name=name,
            value=", ".join(distinct(run.versions[name] for run in runs if name in run.versions)),
        )
        for name in names
    )


def _facts(
    sessions: Sequence[Session], known: Mapping[str, Case], runs: Sequence[Run]
) -> tuple[Fact, ...]:
    """Return facts of the latest study: seed, repeats, datasets, parameters, shapes."""
    if not sessions:
        return ()
    latest = max(sessions, key=lambda one: one.started_at)
    study = latest.study
    campaign = {one.session for one in sessions if one.campaign == latest.campaign}
    named = {run.cell.case for run in runs if run.session in campaign}
    cases = [known[one] for one in sorted(named & known.keys())]
    found: dict[str, Iterable[str]] = {
        "repeats": [_repeats(study)],
        "order": [study.order],
        "seed of the order": [str(study.seed)],
        "datasets": (data.name for case in cases for data in case.datasets.values()),
        "stages": (case.stages for case in cases),
        "passes in a run": (str(case.passes) for case in cases),
        "warm-up passes": (str(case.warmups) for case in cases),
        "worker cores": (str(case.worker.cores) for case in cases),
        "samples": [f"every {format_duration(study.sampling)}"],
        "environments": (f"{one.name} ({one.kind})" for one in study.environments),
        "first run": [format_moment(min(run.started_at for run in runs))] if runs else [],
        "last run": [format_moment(max(run.started_at for run in runs))] if runs else [],
        "cannot run": study.unplanned,
    }
    for name in sorted({name for case in cases for name in case.params}):
        found[f"params.{name}"] = [str(c.params[name]) for c in cases if name in c.params]
    facts = [Fact(name=name, value=", ".join(distinct(v))) for name, v in found.items()]
    return tuple(fact for fact in facts if fact.value)


def _repeats(study: Study) -> str:
    """Return how often the study repeats its cells, in words."""
    if study.width is None:
        return str(study.repeats)
    return f"at most {study.repeats}, until intervals are within {study.width:.3g} of the middle"


def _with_unknown(result: StudyAnalysis) -> StudyAnalysis:
    """Return the overview with what its data does not tell."""
    return msgspec.structs.replace(result, unknown=tuple(_unknown(result)))


def _unknown(result: StudyAnalysis) -> list[str]:
    """Say in words what is not known."""
    found = [f"{_place(result, one)}: {one.note}" for one in result.cells if one.note]
    single = sum(one.seconds is not None and one.seconds.low is None for one in result.cells)
    if single:
        found.append(f"{single} cells have one run only: their spread is not known, so no interval")
    if result.planned is not None and result.counts.ok < result.planned:
        found.append(
            f"{result.planned - result.counts.ok} of {result.planned} planned runs have "
            "no result that counts yet"
        )
    if len({value for c in result.curves for value in [p.workers for p in c.points]}) == 1:
        found.append("only one worker count was measured, so nothing is known about scaling")
    if result.curves and not result.utilization:
        found.append("no samples of CPU and memory were kept for the runs that stand for a curve")
    if any(row.counted and not row.figures for row in result.runs):
        found.append("some runs report no quality, so it is not proven that they found the model")
    if not result.machines and result.runs:
        found.append("no facts about the machines were recorded")
    if any(one.dirty for one in result.sessions):
        found.append("a session ran from a repository with changes that were not committed")
    return found


def _place(result: StudyAnalysis, one: CellSummary) -> str:
    """Return a cell's label and worker count in words."""
    label = next(curve.label for curve in result.curves if curve.id == one.curve)
    return f"{label}, {one.workers} worker{'s' if one.workers != 1 else ''}"
