"""What a study's sessions and runs say about it: versions, settings, times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.analysis.runs.types import Fact
from bench.records.metrics import TIME
from bench.records.results import Run, Session
from bench.records.study import Case, Study
from bench.units import format_duration, format_moment


def distinct(values: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct values, sorted."""
    return tuple(sorted(set(values)))


def latest(sessions: Iterable[Session]) -> Session | None:
    """Return the session that began last."""
    return max(sessions, key=lambda session: session.started_at, default=None)


def versions(runs: Sequence[Run]) -> tuple[Fact, ...]:
    """Return what the runs say of versions, all values of each name."""
    names = sorted({name for run in runs for name in run.versions})
    return tuple(
        Fact(
            name=name,
            value=", ".join(distinct(run.versions[name] for run in runs if name in run.versions)),
        )
        for name in names
    )


def study_facts(
    sessions: Sequence[Session],
    known: Mapping[str, Case],
    runs: Sequence[Run],
    metric: str = TIME,
) -> tuple[Fact, ...]:
    """Return facts of the latest study: seed, repeats, datasets, parameters, shapes.

    The headline ``metric`` is one of them where it is not time.
    """
    newest = latest(sessions)
    if newest is None:
        return ()
    study = newest.study
    campaign = {one.session for one in sessions if one.campaign == newest.campaign}
    named = {run.cell.case for run in runs if run.session in campaign}
    cases = [known[one] for one in sorted(named & known.keys())]
    found: dict[str, Iterable[str]] = {
        "headline metric": [] if metric == TIME else [metric],
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
