"""One execution: submit, follow, wait, collect, and put what is bulky in its place."""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.contracts import Cluster, Execution, MetricSource, Outcome, ReportsEvents
from bench.errors import StorageFailed
from bench.records.cluster import Job
from bench.records.results import Run, RunEvent
from bench.run_files import contention
from bench.run_files.workload_log import event_of
from bench.runner.run_record import Attempt, record_of
from bench.runner.stop import Stop
from bench.store.folder import Store

SLICE = 1.0  # seconds between two checks of the limits during a run
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """A run's part of its campaign; ``sampling`` is the sampling interval in seconds."""

    store: Store
    stop: Stop
    stage: Callable[[str], None]
    sampling: float = 1.0


def execute(cluster: Cluster, job: Job, attempt: Attempt, context: RunContext) -> Run:
    """Run the job on the cluster and return its record; its folder is complete by then.

    If the campaign ends meanwhile, cancel the run and raise Stopped. Any error stops the job
    first.
    """
    folder = context.store.partial(attempt.run)
    spans: dict[str, float] = {}  # the harness's own seconds
    sources = cluster.sources()
    outcome, timed_out = _outcome(cluster, job, sources, folder, context, spans)
    with _span(spans, "store"):
        withheld = _contention(attempt, folder)
        run = record_of(
            attempt,
            outcome,
            timed_out=timed_out,
            events=_events(outcome, withheld, sources),
            contention=withheld,
        )
        context.store.complete(attempt.run)
    return msgspec.structs.replace(run, spans=spans)


def _outcome(
    cluster: Cluster,
    job: Job,
    sources: Sequence[MetricSource],
    folder: Path,
    context: RunContext,
    spans: dict[str, float],
) -> tuple[Outcome, bool]:
    """Submit, wait and collect; return the outcome and whether the run timed out."""
    cpu = time.process_time()
    execution: Execution | None = None
    try:
        with _span(spans, "submit"):
            for source in sources:
                source.start(context.sampling)
            context.stage("launch")
            execution = cluster.submit(job)
        _follow(execution, context.stage)
        timed_out = not _wait(execution, job.timeout, context.stop)
        if timed_out:
            execution.cancel()
        spans["cpu"] = time.process_time() - cpu
        with _span(spans, "collect"), _full_disk():
            outcome = execution.collect(folder)
            for source in sources:
                source.stop(folder)
    except BaseException:
        try:
            if execution is not None:
                execution.cancel()
        finally:
            for source in sources:
                source.stop(folder)
        raise
    return outcome, timed_out


def _contention(attempt: Attempt, folder: Path) -> dict[str, float]:
    """Return the CPU that the machine withheld from the run, from its samples."""
    shapes = {"driver": attempt.case.driver, "worker": attempt.case.worker}
    limited = [role for role, shape in shapes.items() if shape.cpu_limit is not None]
    return dict(contention.read(folder / "samples.parquet", limited))


def _events(
    outcome: Outcome, withheld: dict[str, float], sources: Sequence[MetricSource]
) -> list[RunEvent]:
    """Return the events of a run from its engine, its samples and its platform."""
    watching = [source for source in sources if isinstance(source, ReportsEvents)]
    events = [*outcome.events, *(event for source in watching for event in source.events())]
    return [*events, *contention.events(withheld, [event.kind for event in events])]


def _wait(execution: Execution, timeout: float, stop: Stop) -> bool:
    """Wait in slices; return False at the run's timeout, raise Stopped at the campaign's end."""
    limit = time.monotonic() + timeout
    while True:
        stop.check()
        now = time.monotonic()
        if now >= limit:
            return False
        if execution.wait(min(SLICE, limit - now)):
            return True


def _follow(execution: Execution, stage: Callable[[str], None]) -> None:
    """Report pipeline stages from the log, in a thread that ends with the log."""

    def read() -> None:
        for rank, text in execution.lines():
            event = event_of(text.encode("ascii", "replace")) if rank == 0 else None
            if event is not None and event.event == "stage_start":
                stage(f"{event.name} (pass {event.number})" if event.number else f"{event.name}")

    threading.Thread(target=read, name="bench-follow", daemon=True).start()


@contextlib.contextmanager
def _span(spans: dict[str, float], name: str) -> Iterator[None]:
    begun = time.monotonic()
    try:
        yield
    finally:
        spans[name] = time.monotonic() - begun


@contextlib.contextmanager
def _full_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise StorageFailed(
            f"a run's files cannot be kept ({error.strerror})",
            remedy="free space, then run again: it continues where it stopped",
        ) from error
