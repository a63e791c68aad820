"""Makes a run's record from an execution's outcome; the workload logs decide success."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from bench.contracts import Outcome
from bench.digests import digest
from bench.records.results import Digests, Run, RunEvent, Status
from bench.records.study import Case, Cell
from bench.run_files import workload_log


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of a run before it is submitted.

    ``phases`` are the seconds to get the cluster: queue and, if the cluster was opened or adapted
    for this run, provision and launch.
    """

    run: str
    cell: Cell
    case: Case
    number: int
    session: str
    started_at: datetime
    task: str
    bundle: str
    cluster: str = ""
    phases: Mapping[str, float] = {}


def record_of(
    attempt: Attempt,
    outcome: Outcome,
    *,
    timed_out: bool,
    events: Sequence[RunEvent] = (),
    contention: Mapping[str, float] | None = None,
) -> Run:
    """Return the record of a submitted run.

    ``events`` and ``contention`` come from its machines and platform.
    """
    logs = {
        rank: workload_log.read(path, attempt.run) for rank, path in sorted(outcome.logs.items())
    }
    first = logs.get(0, workload_log.Log(fault="log incomplete: no log came back"))
    status, reason = _status(attempt, outcome, logs, timed_out)
    return msgspec.structs.replace(
        record_without_start(attempt, status, reason),
        machines=outcome.machines,
        phases=_phases(attempt, outcome, first),
        stages=first.stages,
        passes=first.passes,
        measurements=first.measurements,
        quality=first.quality,
        events=tuple(events),
        contention=contention or {},
        workers_seen=first.workers,
        worker_cpu=outcome.worker_cpu,
        digests=digests(attempt, first.datasets),
        versions=first.versions,
        artefacts=first.artefacts,
    )


def record_without_start(attempt: Attempt, status: Status, reason: str) -> Run:
    """Return the record of a run that was not submitted."""
    return Run(
        run=attempt.run,
        cell=attempt.cell,
        attempt=attempt.number,
        session=attempt.session,
        cluster=attempt.cluster,
        status=status,
        reason=reason,
        started_at=attempt.started_at,
        phases=attempt.phases,
        warmups=attempt.case.warmups,
        stages_mode=attempt.case.stages,
        workers_wanted=attempt.case.workers,
        digests=digests(attempt, {}),
    )


def digests(attempt: Attempt, datasets: Mapping[str, str]) -> Digests:
    """Return the digests that are equal between runs of the same work."""
    return Digests(
        task=attempt.task,
        bundle=attempt.bundle,
        params=digest(attempt.case.params),
        datasets=datasets,
    )


def _status(
    attempt: Attempt, outcome: Outcome, logs: Mapping[int, workload_log.Log], timed_out: bool
) -> tuple[Status, str]:
    if timed_out:
        return "timeout", f"not done after {attempt.case.policy.timeout:g} s"
    faults = {rank: log.fault for rank, log in logs.items() if log.fault}
    reported = {
        rank: fault for rank, fault in faults.items() if not fault.startswith("log incomplete")
    }
    if reported:
        rank, fault = min(reported.items())
        return "failed", fault if len(logs) == 1 else f"rank {rank}: {fault}"
    if outcome.status == "failed":
        return "failed", outcome.reason or "the platform reports a failure"
    if faults:
        rank, fault = min(faults.items())
        return "failed", fault if len(logs) == 1 else f"rank {rank}: {fault}"
    if not logs:
        return "failed", "log incomplete: no log came back"
    wanted, seen = attempt.case.workers, logs[0].workers if 0 in logs else None
    if seen != wanted:
        return "failed", f"{wanted} workers wanted, {seen} seen when the work began"
    return "ok", ""


def _phases(attempt: Attempt, outcome: Outcome, log: workload_log.Log) -> Mapping[str, float]:
    """Return the phases: launch is engine start + (submit -> exit) - work."""
    if log.work is None:
        return attempt.phases
    launch = attempt.phases.get("launch", 0.0) + max(0.0, outcome.seconds - log.work)
    return {**attempt.phases, "work": log.work, "launch": launch, **outcome.phases}
