"""A session of a campaign: remove leftovers of dead sessions, then run the remaining cells."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

from bench.locks import delete_lock, machine_lock_is_shared, session_lock
from bench.plan import Fixed
from bench.plan.progress import Index
from bench.records.cluster import Owner
from bench.records.results import Run, Session
from bench.records.study import Cell
from bench.runner import cleanup
from bench.runner.clusters import Clusters
from bench.runner.lanes import CampaignContext, Lane, run_lanes
from bench.runner.notes import listening
from bench.runner.preflight import PreparedStudy
from bench.runner.progress import CampaignSummary, Listener, Progress
from bench.runner.session import new_session
from bench.runner.sharing import is_here
from bench.runner.stop import MachineLimit, Stop
from bench.store.folder import Store
from bench.store.reader import Results
from bench.text import plural


def run(
    prepared: PreparedStudy,
    store: Store,
    listener: Listener,
    *,
    new: bool = False,
    retry_failed: bool = False,
    max_time: float | None = None,
    where: Callable[[Cell], bool] = lambda _: True,
) -> CampaignSummary:
    """Run the remaining cells of a study, and return a summary.

    ``new`` starts a new campaign of all cells, ``retry_failed`` gives failed cells one more
    attempt, ``max_time`` (seconds) replaces the study's limit, ``where`` selects cells.

    Raises UnsuitableEnvironment (nothing was started), StoreError, StorageFailed, or Stopped when
    the time is over. KeyboardInterrupt is re-raised after everything is stopped.
    """
    prepared.raise_if_unfit()
    with store.locked():
        results = store.read()
        for text in results.warnings:
            listener.note(text)
        _remove_leftovers(prepared, store, results, listener)
        latest = results.latest
        campaign = None if new or latest is None else latest.campaign
        runs = results.of_campaign(campaign) if campaign else []
        index = Index(runs, cleanup.crashes(results, campaign) if campaign else ())
        plan = prepared.plan(retry=index if retry_failed else None)
        _note_given_up(plan, index, listener)
        session = new_session(prepared.study, prepared.folder, campaign)
        progress = Progress(plan, index, listener, session.session, where)
        stop = Stop(_end(prepared, runs, max_time))
        return _run_session(prepared, store, session, progress, stop, runs)


def _run_session(
    prepared: PreparedStudy,
    store: Store,
    session: Session,
    progress: Progress,
    stop: Stop,
    runs: Sequence[Run],
) -> CampaignSummary:
    """Run the cells under the session's lock, with its settings saved for a cleanup."""
    lock = session_lock(session.session)
    lock.acquire()
    settings = cleanup.save_settings(session.session, prepared.study)
    lanes: list[Lane] = []
    journal = store.journal(session)
    try:
        with listening(progress.note) as notes:
            context = CampaignContext(
                prepared=prepared,
                store=store,
                journal=journal,
                session=session.session,
                progress=progress,
                stop=stop,
                notes=notes,
            )
            lanes = _lanes(context)
            wanted = progress.begin(runs)
            while wanted:
                run_lanes(lanes, wanted, context)
                wanted = progress.more()
            return progress.summary()
    finally:
        journal.close()
        if settings is not None and all(lane.clusters.settled for lane in lanes):
            settings.unlink(missing_ok=True)
        delete_lock(lock)


def _lanes(context: CampaignContext) -> list[Lane]:
    prepared = context.prepared
    owner = Owner(study=prepared.study.name, session=context.session, cluster="")
    limit, ids = MachineLimit(prepared.study.limit_machines), itertools.count(1)
    return [
        Lane(
            names,
            context,
            Clusters(prepared.environments, owner, context.journal, limit, ids),
        )
        for names in prepared.lanes()
    ]


def _remove_leftovers(
    prepared: PreparedStudy, store: Store, results: Results, listener: Listener
) -> None:
    """Remove what dead sessions of these results left, and report it to the listener."""
    dead = cleanup.dead_sessions(results)
    specs = {cleanup.record_of_spec(spec): spec.name for spec in prepared.study.environments}
    by_record = {record: prepared.environments[name] for record, name in specs.items()}
    leftovers = cleanup.find(store, results, by_record, dead)
    for text in leftovers.notes:
        listener.note(text)
    for text in leftovers.remove(store):
        listener.note(f"removing {text}")
    cleanup.forget(results, dead, leftovers.searched)
    sharing = any(map(is_here, prepared.environments.values()))
    if sharing and not machine_lock_is_shared():
        listener.note("other users' campaigns on this machine do not wait for this one's cells")


def _end(prepared: PreparedStudy, runs: Sequence[Run], max_time: float | None) -> float | None:
    """Return the campaign's deadline on the monotonic clock; None without a limit."""
    limit = max_time if max_time is not None else prepared.study.limit_time
    return None if limit is None else time.monotonic() + max(0.0, limit - seconds_spent(runs))


def seconds_spent(runs: Sequence[Run]) -> float:
    """Return the seconds of all runs; runs side by side count once."""
    spans = []
    for run in runs:
        begun = run.started_at.timestamp()
        spans.append((begun, begun + sum(run.phases.values())))
    spent, until = 0.0, float("-inf")
    for begun, ended in sorted(spans):
        spent += max(0.0, ended - max(begun, until))
        until = max(until, ended)
    return spent


def _note_given_up(plan: Fixed, index: Index, listener: Listener) -> None:
    remaining = {cell.key for cell in plan.remaining(index)}
    for cell in plan.cells:
        if index.took_down(cell) and cell.key not in remaining:
            workers = plural(cell.workers, "worker")
            listener.note(
                f"given up: {cell.workload} on {cell.environment}, {workers}, repeat "
                f"{cell.repeat + 1}: two starts took the harness down; --retry-failed tries again"
            )
