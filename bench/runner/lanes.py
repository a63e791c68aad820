"""Lanes: environments without a common machine run side by side, others take turns.

A lane runs its cells one after the other, each on its environment's cluster. Several lanes have a
thread each; the main thread waits for them and receives Ctrl-C and SIGTERM.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic

import msgspec
from filelock import Timeout

from bench.contracts import Environment
from bench.errors import LaunchFailed, Stopped
from bench.ids import new_id, utc_now
from bench.locks import machine_lock, try_acquire
from bench.records import identity
from bench.records.results import Run, Started, StoppedLine
from bench.records.study import Case, Cell
from bench.runner.clusters import Clusters, OpenCluster
from bench.runner.execute import RunContext, execute
from bench.runner.notes import Notes
from bench.runner.preflight import PreparedStudy
from bench.runner.progress import Progress
from bench.runner.run_record import Attempt, record_without_start
from bench.runner.sharing import is_here
from bench.runner.stop import TICK, Stop
from bench.store.folder import Store
from bench.store.journal import Journal
from bench.text import redact

REASON = 1000  # characters, at most, of the reason why a cluster did not start


@dataclass(frozen=True, kw_only=True)
class CampaignContext:
    """Objects that all lanes of a session share; they can be used from any thread."""

    prepared: PreparedStudy
    store: Store
    journal: Journal
    session: str
    progress: Progress
    stop: Stop
    notes: Notes


class Lane:
    """Environments whose cells run one after the other."""

    def __init__(self, names: set[str], context: CampaignContext, clusters: Clusters) -> None:
        """``names`` are the lane's environments."""
        self.names = names
        self.clusters = clusters
        self._context = context

    def run(self, wanted: Sequence[Cell]) -> None:
        """Run these cells, and cells that the plan adds on the lane's environments."""
        cells = deque(wanted)
        try:
            while cells:
                self._until_done(cells.popleft())
                if not cells:
                    cells.extend(self._context.progress.more(self.has))
                self.clusters.release_unused(cells)
        finally:
            self.clusters.close_all()

    def has(self, cell: Cell) -> bool:
        """Return whether a cell runs in this lane."""
        return cell.environment in self.names

    def _until_done(self, cell: Cell) -> None:
        context, progress = self._context, self._context.progress
        case, reason = progress.plan.case(cell), progress.plan.reason_to_skip(cell)
        while True:
            attempt = self._attempt(cell, case)
            if reason:
                run = record_without_start(attempt, "skipped", reason)
                context.journal.write(run)
            else:
                context.stop.check()
                progress.cell(cell, attempt.number)
                run = self._run(attempt)
            progress.finished(run)
            if run.status in ("ok", "skipped") or attempt.number >= progress.plan.attempts(cell):
                return

    def _attempt(self, cell: Cell, case: Case) -> Attempt:
        workload = self._context.prepared.workloads[case.use]
        return Attempt(
            run=new_id(),
            cell=cell,
            case=case,
            number=self._context.progress.attempts(cell) + 1,
            session=self._context.session,
            started_at=utc_now(),
            task=workload.manifest.task,
            bundle=workload.bundle.digest,
        )

    def _run(self, attempt: Attempt) -> Run:
        """Run one cell when its machines are free; on a shared machine, wait for its turn."""
        context, case = self._context, attempt.case
        environment = context.prepared.environments[case.environment]
        context.journal.once(context.prepared.workloads[case.use].bundle)
        context.journal.once(identity.case_line(case))
        stage = functools.partial(context.progress.stage, attempt.cell)
        with contextlib.ExitStack() as held:
            noted = held.enter_context(context.notes.of_run())
            waited = self.clusters.make_room(case, context.stop, lambda: stage("queue"))
            queued = held.enter_context(self._turn(environment, attempt.cell))
            run = self._on_cluster(attempt, waited + queued)
            run = msgspec.structs.replace(run, events=(*run.events, *noted))
            context.journal.write(run)
            if run.status != "ok" or not case.policy.reuse:
                self.clusters.close(case.environment)
        context.stop.sleep(case.policy.pause)
        return run

    @contextlib.contextmanager
    def _turn(self, environment: Environment, cell: Cell) -> Iterator[float]:
        """Hold the machine's lock if it is shared; yield the seconds of waiting for it."""
        if not is_here(environment):
            yield 0.0
            return
        context, lock, begun = self._context, machine_lock(), monotonic()
        if not try_acquire(lock):
            context.progress.stage(cell, "queue")
            try:
                lock.acquire(cancel_check=context.stop.due)
            except Timeout:
                context.stop.check()
                raise
        try:
            yield monotonic() - begun
        finally:
            lock.release()

    def _on_cluster(self, attempt: Attempt, queued: float) -> Run:
        """Run one cell on a suitable cluster."""
        phases = {"queue": queued}
        stage = functools.partial(self._context.progress.stage, attempt.cell, "launch")
        try:
            served, fresh = self.clusters.serve(attempt.case, stage)
        except LaunchFailed as error:
            attempt = msgspec.structs.replace(attempt, cluster=self.clusters.latest, phases=phases)
            return record_without_start(attempt, "failed", redact(str(error), REASON))
        if fresh:  # the first run after an opening or adapting carries its phases
            opening = served.cluster.facts.phases
            phases |= {name: opening[name] for name in opening if name != "teardown"}
        return self._submit(
            served, msgspec.structs.replace(attempt, cluster=served.id, phases=phases)
        )

    def _submit(self, served: OpenCluster, attempt: Attempt) -> Run:
        context = self._context
        started = Started(
            run=attempt.run, key=attempt.cell.key, cluster=served.id, at=attempt.started_at
        )
        job = context.prepared.job(attempt.case, attempt.run)
        run_context = RunContext(
            store=context.store,
            stop=context.stop,
            stage=functools.partial(context.progress.stage, attempt.cell),
            sampling=context.prepared.study.sampling,
        )
        try:  # Ctrl-C may come as soon as the start is on the disk
            context.journal.write(started)
            run = execute(served.cluster, job, attempt, run_context)
        except LaunchFailed as error:  # a host was lost before the job ran
            context.store.discard(attempt.run)
            run = record_without_start(attempt, "failed", redact(str(error), REASON))
        except (KeyboardInterrupt, Stopped) as stop:
            reason = str(stop) or "stopped by the user"
            context.journal.write(StoppedLine(run=attempt.run, reason=reason, at=utc_now()))
            context.store.discard(attempt.run)
            raise
        return run


def run_lanes(lanes: Sequence[Lane], wanted: Sequence[Cell], context: CampaignContext) -> None:
    """Run the wanted cells, each in its lane; returns when all lanes have ended.

    The first error of any lane ends the others and is raised.
    """
    work = [(lane, [cell for cell in wanted if lane.has(cell)]) for lane in lanes]
    work = [(lane, cells) for lane, cells in work if cells]
    if len(work) == 1:  # in this thread, so that Ctrl-C interrupts its waits
        lane, cells = work[0]
        lane.run(cells)
        return
    ends = [_start_lane(lane, cells, context.stop) for lane, cells in work]
    try:
        _wait(ends)
    except KeyboardInterrupt as interrupt:
        context.stop.request(interrupt)
        context.progress.note("stopping: cancelling runs and closing clusters")
        _wait(ends)  # a second Ctrl-C leaves the rest to cleanup
    if context.stop.error is not None:
        raise context.stop.error


def _start_lane(lane: Lane, cells: Sequence[Cell], stop: Stop) -> threading.Event:
    """Run a lane in a thread; the event is set when it has ended.

    After an interrupt, ``Thread.join`` treats a running thread as ended (cpython issue 90882).
    """
    ended = threading.Event()

    def run() -> None:
        try:
            lane.run(cells)
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            stop.request(error)
        finally:
            ended.set()

    threading.Thread(target=run, name="bench-lane", daemon=True).start()
    return ended


def _wait(ends: Sequence[threading.Event]) -> None:
    """Wait for all, in short waits: a signal just before a wait is seen only at its end."""
    for ended in ends:
        while not ended.wait(TICK):
            pass
