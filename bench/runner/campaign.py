"""The campaign: check -> open -> submit -> collect -> store -> close or adapt, cell by cell."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
from filelock import FileLock

from bench.contracts import Adaptable, Cluster, Environment
from bench.errors import LaunchFailed, Stopped
from bench.ids import new_id, utc_now
from bench.locks import delete_lock, machine_lock, session_lock, try_acquire
from bench.plan import Fixed
from bench.plan.progress import Index
from bench.records.cluster import ClusterSpec, Owner
from bench.records.results import ClusterLine, Run, Session, Started, StoppedLine
from bench.records.study import Case, Cell
from bench.runner import cleanup
from bench.runner.execute import execute
from bench.runner.preflight import PreparedStudy
from bench.runner.resolve import cluster_spec
from bench.runner.run_record import Attempt, cluster_phases, unstarted
from bench.runner.session import new_session
from bench.store.folder import Store
from bench.store.journal import Journal
from bench.store.reader import Results
from bench.text import plural, redact

REASON = 1000  # characters, at most, of why a cluster did not come up


class Listener(Protocol):
    """Who follows a campaign; called from the thread that runs it, ``stage`` from another."""

    def begin(self, planned: int, wanted: Sequence[Cell], runs: Sequence[Run]) -> None:
        """A session begins: so many cells are planned, these are to run, those runs are known."""

    def cell(self, cell: Cell, attempt: int) -> None:
        """A cell begins."""

    def stage(self, text: str) -> None:
        """The cell is now at this phase or pipeline stage."""

    def finished(self, run: Run) -> None:
        """A cell has its run."""

    def more(self, cells: Sequence[Cell]) -> None:
        """The plan adds these cells, from what the runs so far have shown."""

    def note(self, text: str) -> None:
        """Something happened that the user may want to know."""


class CampaignSummary(msgspec.Struct, kw_only=True):
    """How a session ended: its runs by status, the planned cells that are still to run (``left``)
    and those given up without a good run (``lost``), skipped ones apart."""

    ok: int = 0
    failed: int = 0
    timeout: int = 0
    skipped: int = 0
    left: int = 0
    lost: int = 0
    session: str = ""


def run(
    prepared: PreparedStudy,
    store: Store,
    listener: Listener,
    *,
    new: bool = False,
    retry_failed: bool = False,
    max_time: float | None = None,
    where: Callable[[Cell], bool] = lambda cell: True,
) -> CampaignSummary:
    """Run what is not done of a study, and return how it went.

    ``new`` begins a new campaign of the same cells, ``retry_failed`` gives failed ones one more
    attempt, ``max_time`` (seconds) replaces the study's limit, ``where`` selects cells.

    Raises UnsuitableEnvironment (nothing was started), StoreError, StorageFailed, or Stopped when
    the time is over; KeyboardInterrupt is passed on when everything is stopped.
    """
    prepared.raise_if_unfit()
    with store.locked():
        results = store.read()
        for text in results.warnings:
            listener.note(text)
        _clean(prepared, store, results, listener)
        latest = results.latest
        campaign = None if new or latest is None else latest.campaign
        session = new_session(prepared.study, prepared.folder, campaign)
        lock = session_lock(session.session)
        lock.acquire()
        kept = cleanup.save_settings(session.session, prepared.study)
        work: _Campaign | None = None
        journal = store.journal(session)
        try:
            runs = results.of_campaign(campaign) if campaign else []
            index = Index(runs, cleanup.crashes(results, campaign) if campaign else ())
            plan = prepared.plan(retry=index if retry_failed else None)
            limit = max_time if max_time is not None else prepared.study.limit_time
            spent = sum(sum(one.phases.values()) for one in runs)
            end = None if limit is None else time.monotonic() + max(0.0, limit - spent)
            work = _Campaign(prepared, store, journal, session, index, listener, end)
            wanted = [cell for cell in plan.remaining(index) if where(cell)]
            _tell_given_up(plan, index, listener)
            listener.begin(len(plan.planned(index)), wanted, runs)
            return work.run(plan, wanted, where)
        finally:
            journal.close()
            if kept is not None and not (work is not None and work.unclosed):
                kept.unlink(missing_ok=True)
            delete_lock(lock)


def _clean(prepared: PreparedStudy, store: Store, results: Results, listener: Listener) -> None:
    dead = cleanup.dead_sessions(results)
    sweep = cleanup.find(store, results, prepared.environments.values(), dead)
    for text in sweep.remove(store):
        listener.note(f"removing {text}")
    cleanup.forget(results, dead, map(cleanup.record_of_spec, prepared.study.environments))


def _tell_given_up(plan: Fixed, index: Index, listener: Listener) -> None:
    left = {cell.key for cell in plan.remaining(index)}
    for cell in plan.cells:
        if index.took_down(cell) and cell.key not in left:
            workers = plural(cell.workers, "worker")
            listener.note(
                f"given up: {cell.workload} on {cell.environment}, {workers}, repeat "
                f"{cell.repeat + 1}: two starts took the harness down; --retry-failed tries again"
            )


class _Campaign:
    """One session at work: at most one cluster is open at a time."""

    def __init__(
        self,
        prepared: PreparedStudy,
        store: Store,
        journal: Journal,
        session: Session,
        index: Index,
        listener: Listener,
        end: float | None,
    ) -> None:
        self._prepared = prepared
        self._store = store
        self._journal = journal
        self._session = session
        self._index = index
        self._listener = listener
        self._end = end
        self._tally = CampaignSummary(session=session.session)
        self._open: _Open | None = None
        self.unclosed = False  # whether a cluster may be left, for cleanup with these settings
        self._count = 0

    def run(
        self, plan: Fixed, wanted: Sequence[Cell], where: Callable[[Cell], bool]
    ) -> CampaignSummary:
        """Run these cells of the plan, one after the other, and what it adds to them."""
        session = self._session.session
        try:
            while wanted:
                for cell in wanted:
                    self._until_done(plan, cell)
                wanted = [one for one in plan.remaining(self._index, session) if where(one)]
                if wanted:
                    self._listener.more(wanted)
        finally:
            self._close()
        left = plan.remaining(self._index, session)
        self._tally.left = len(left)
        self._tally.lost = sum(
            not self._index.ok(cell) and not self._index.skipped(cell, session)
            for cell in plan.planned(self._index, session)
        ) - len(left)
        for one in plan.wide(self._index):
            self._listener.note(f"still wide: {one.describe()}")
        return self._tally

    def _until_done(self, plan: Fixed, cell: Cell) -> None:
        case = plan.case(cell)
        reason = plan.reason_to_skip(cell)
        while True:
            number = self._index.attempts(cell) + 1
            attempt = self._attempt(cell, case, number)
            if reason:
                run = unstarted(attempt, "skipped", reason)
                self._journal.write(run)
            else:
                if self._end is not None and time.monotonic() >= self._end:
                    raise Stopped("the time limit is reached", remedy="run again to continue")
                self._listener.cell(cell, number)
                run = self._one(attempt)
            self._index.add(run)
            setattr(self._tally, run.status, getattr(self._tally, run.status) + 1)
            self._listener.finished(run)
            if run.status in ("ok", "skipped") or number > case.retries:
                return

    def _attempt(self, cell: Cell, case: Case, number: int) -> Attempt:
        workload = self._prepared.workloads[case.use]
        return Attempt(
            run=new_id(),
            cell=cell,
            case=case,
            number=number,
            session=self._session.session,
            cluster=f"c{self._count}",
            started_at=utc_now(),
            task=workload.manifest.task,
            bundle=workload.bundle.digest,
        )

    def _one(self, attempt: Attempt) -> Run:
        """Run one cell, in its turn where machines are shared."""
        environment = self._prepared.environments[attempt.case.environment]
        self._journal.once(self._prepared.workloads[attempt.case.use].bundle)
        turn = machine_lock() if environment.shares_machine else None
        try:
            self._queue(turn, attempt)
            try:
                cluster = self._cluster(environment, attempt)
            except LaunchFailed as error:
                run = unstarted(attempt, "failed", redact(str(error), REASON))
                self._journal.write(run)
                return run
            run = self._submit(cluster, attempt)
            if run.status != "ok" or not attempt.case.reuse:
                self._close()
            return run
        finally:
            if turn is not None:
                turn.release()
            if attempt.case.pause:
                time.sleep(attempt.case.pause)

    def _queue(self, turn: FileLock | None, attempt: Attempt) -> None:
        begun = time.monotonic()
        if turn is not None and not try_acquire(turn):
            self._listener.stage("queue")
            turn.acquire()
        attempt.phases["queue"] = time.monotonic() - begun

    def _submit(self, cluster: _Open, attempt: Attempt) -> Run:
        started = Started(
            run=attempt.run, key=attempt.cell.key, cluster=cluster.id, at=attempt.started_at
        )
        self._journal.write(started)
        try:
            job = self._prepared.job(attempt.case, attempt.run)
            run = execute(
                cluster.cluster,
                job,
                attempt,
                self._store,
                self._listener.stage,
                self._end,
                self._prepared.study.sampling,
            )
        except LaunchFailed as error:  # a host was lost before the job ran
            self._store.discard(attempt.run)
            run = unstarted(attempt, "failed", redact(str(error), REASON))
        except (KeyboardInterrupt, Stopped) as stop:
            reason = str(stop) or "stopped by the user"
            self._journal.write(StoppedLine(run=attempt.run, reason=reason, at=utc_now()))
            self._store.discard(attempt.run)
            raise
        self._journal.write(run)
        return run

    def _cluster(self, environment: Environment, attempt: Attempt) -> _Open:
        """Return a cluster that is what the case needs: the open one, adapted or a new one."""
        wanted = cluster_spec(attempt.case)
        name = attempt.case.environment
        current = self._open
        if current is not None and current.serves(name, wanted, attempt.case.reuse):
            if current.need != wanted:
                self._listener.stage("launch")
                self._adapt(current, wanted)
                attempt.phases.update(cluster_phases(current.cluster.facts))
        else:
            self._close()
            self._listener.stage("launch")
            current = self._opening(environment, name, wanted)
            attempt.phases.update(cluster_phases(current.cluster.facts))
        attempt.cluster = current.id
        return current

    def _opening(self, environment: Environment, name: str, wanted: ClusterSpec) -> _Open:
        self._count += 1
        identity = f"c{self._count}"
        study, session = self._prepared.study.name, self._session.session
        line = ClusterLine(cluster=identity, environment=name, event="opening", at=utc_now())
        self._journal.write(line)
        owner = Owner(study=study, session=session, cluster=identity)
        cluster = environment.open(wanted, owner)
        self._open = _Open(id=identity, environment=name, need=wanted, cluster=cluster)
        self._tell(self._open, "open")
        return self._open

    def _adapt(self, current: _Open, wanted: ClusterSpec) -> None:
        assert isinstance(current.cluster, Adaptable)  # ``serves`` has seen to it
        try:
            current.cluster.adapt(wanted)
        except LaunchFailed:
            self._close()
            raise
        current.need = wanted
        self._tell(current, "adapted")

    def _tell(self, current: _Open, event: str) -> None:
        facts = current.cluster.facts
        for machine in facts.machines.values():
            self._journal.once(machine)
        line = ClusterLine(
            cluster=current.id,
            environment=current.environment,
            event="open" if event == "open" else "adapted",
            at=utc_now(),
            phases=dict(facts.phases),
            machines=facts.uses,
        )
        self._journal.write(line)

    def _close(self) -> None:
        current, self._open = self._open, None
        if current is None:
            return
        begun = time.monotonic()
        try:
            current.cluster.close()
        except BaseException:
            self.unclosed = True
            raise
        seconds = time.monotonic() - begun
        line = ClusterLine(
            cluster=current.id,
            environment=current.environment,
            event="closed",
            at=utc_now(),
            phases={"teardown": seconds},
            machines=current.cluster.facts.uses,
        )
        self._journal.write(line)


class _Open(msgspec.Struct, kw_only=True):
    """The cluster that is open now."""

    id: str
    environment: str
    need: ClusterSpec
    cluster: Cluster

    def serves(self, environment: str, wanted: ClusterSpec, reuse: bool) -> bool:
        """Return whether it can become what is wanted."""
        if environment != self.environment or not reuse:
            return False
        return wanted == self.need or isinstance(self.cluster, Adaptable)
