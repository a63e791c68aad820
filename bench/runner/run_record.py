"""From what came back of an execution to a run's record: the verdict is read from the logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from bench.contracts import Facts, Outcome
from bench.digests import digest
from bench.records.results import Digests, Run, RunEvent, Status
from bench.records.study import Case, Cell
from bench.run_files import workload_log


class Attempt(msgspec.Struct, kw_only=True):
    """What is known of a run before it is judged; ``spans`` are the harness's own seconds."""

    run: str
    cell: Cell
    case: Case
    number: int
    session: str
    cluster: str
    started_at: datetime
    task: str
    bundle: str
    spans: dict[str, float] = {}
    phases: dict[str, float] = {}


def judge(
    attempt: Attempt,
    outcome: Outcome,
    *,
    timed_out: bool,
    events: Sequence[RunEvent] = (),
    contention: Mapping[str, float] | None = None,
) -> Run:
    """Return the record of a run that was submitted.

    ``events`` and ``contention`` are what its machines and platform tell of it.
    """
    logs = {
        rank: workload_log.read(path, attempt.run) for rank, path in sorted(outcome.logs.items())
    }
    first = logs.get(0, workload_log.Log(fault="log incomplete: no log came back"))
    status, reason = _status(attempt, outcome, logs, timed_out)
    return Run(
        run=attempt.run,
        cell=attempt.cell,
        attempt=attempt.number,
        session=attempt.session,
        cluster=attempt.cluster,
        status=status,
        reason=reason,
        started_at=attempt.started_at,
        machines=outcome.machines,
        phases=_phases(attempt, outcome, first),
        stages=first.stages,
        passes=first.passes,
        warmups=attempt.case.warmups,
        stages_mode=attempt.case.stages,
        measurements=first.measurements,
        quality=first.quality,
        events=tuple(events),
        contention=contention or {},
        workers_wanted=attempt.case.workers,
        workers_seen=first.workers,
        worker_cpu=outcome.worker_cpu,
        digests=digests(attempt, first.datasets),
        versions=first.versions,
        artefacts=first.artefacts,
        spans=attempt.spans,
    )


def unstarted(attempt: Attempt, status: Status, reason: str) -> Run:
    """Return the record of a run that never got as far as being submitted."""
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
        spans=attempt.spans,
    )


def digests(attempt: Attempt, datasets: Mapping[str, str]) -> Digests:
    """Return what must be equal between runs of the same work."""
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
    told = {rank: fault for rank, fault in faults.items() if not fault.startswith("log incomplete")}
    if told:
        rank, fault = min(told.items())
        return "failed", fault if len(logs) == 1 else f"rank {rank}: {fault}"
    if outcome.status == "failed":
        return "failed", outcome.reason or "the platform said that it failed"
    if faults:
        rank, fault = min(faults.items())
        return "failed", fault if len(logs) == 1 else f"rank {rank}: {fault}"
    if not logs:
        return "failed", "log incomplete: no log came back"
    wanted, seen = attempt.case.workers, logs[0].workers if 0 in logs else None
    if seen != wanted:
        return "failed", f"{wanted} workers wanted, {seen} seen when the work began"
    return "ok", ""


def _phases(attempt: Attempt, outcome: Outcome, log: workload_log.Log) -> dict[str, float]:
    """Queue and provision as measured; launch is engine start + submit -> exit - work."""
    phases = dict(attempt.phases)
    if log.work is None:
        return phases
    phases["work"] = log.work
    phases["launch"] = phases.get("launch", 0.0) + max(0.0, outcome.seconds - log.work)
    phases.update(outcome.phases)
    return phases


def cluster_phases(facts: Facts) -> dict[str, float]:
    """Return the phases of an opening or adapting that its first run carries."""
    return {name: seconds for name, seconds in facts.phases.items() if name != "teardown"}
