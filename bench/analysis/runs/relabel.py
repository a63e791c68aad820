"""Names of today for runs that were measured under others: labels are in no key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from bench.records.results import ClusterEvent, Run, Session
from bench.records.study import Case, Cell

Planned = Mapping[str, tuple[Cell, Case]]  # the study's cells and their cases, by cell key


def relabelled(runs: Iterable[Run], planned: Planned) -> list[Run]:
    """Return the runs; those of planned cells with the labels and warm-ups of the study's cell.

    Workload, environment and factors are labels, and so is the digest of the case that has them.
    """
    return [
        _relabelled(run, *planned[run.cell.key]) if run.cell.key in planned else run for run in runs
    ]


def _relabelled(run: Run, cell: Cell, case: Case) -> Run:
    return msgspec.structs.replace(run, cell=cell, warmups=case.warmups)


def environments(before: Sequence[Run], after: Sequence[Run]) -> dict[str, str]:
    """Return old name -> name of today of each environment whose runs all have another now."""
    names: dict[str, set[str]] = {}
    for old, new in zip(before, after, strict=True):
        names.setdefault(old.cell.environment, set()).add(new.cell.environment)
    return {old: next(iter(new)) for old, new in names.items() if len(new) == 1 and new != {old}}


def renamed_session(session: Session, names: Mapping[str, str]) -> Session:
    """Return a session whose study calls its environments by these names."""
    specs = tuple(
        msgspec.structs.replace(spec, name=names.get(spec.name, spec.name))
        for spec in session.study.environments
    )
    study = msgspec.structs.replace(session.study, environments=specs)
    return msgspec.structs.replace(session, study=study)


def renamed_life(life: ClusterEvent, names: Mapping[str, str]) -> ClusterEvent:
    """Return a cluster's line that calls its environment by these names."""
    return msgspec.structs.replace(life, environment=names.get(life.environment, life.environment))
