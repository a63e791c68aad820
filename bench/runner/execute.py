"""One execution: submit, follow, wait, collect, and put what is bulky in its place."""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from bench.contracts import Cluster, Execution, MetricSource, Outcome, ReportsEvents
from bench.errors import Stopped, StorageFailed
from bench.records.cluster import Job
from bench.records.results import Run, RunEvent
from bench.records.study import Case
from bench.run_files import contention
from bench.run_files.workload_log import event_of
from bench.runner.run_record import Attempt, judge
from bench.store.folder import Store

SLICE = 1.0  # seconds between looks at the limits while a run works
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def execute(
    cluster: Cluster,
    job: Job,
    attempt: Attempt,
    store: Store,
    stage: Callable[[str], None],
    end: float | None,
    sampling: float,
) -> Run:
    """Run the job on the cluster and return its record; its folder is in place by then.

    ``end`` is the campaign's deadline on the monotonic clock: past it the run is cancelled and
    Stopped is raised. ``sampling`` is the seconds from one sample of the machines to the next.
    Whatever is raised, the job is stopped first.
    """
    folder = store.partial(attempt.run)
    cpu = time.process_time()
    sources = cluster.sources()
    execution: Execution | None = None
    try:
        with _span(attempt, "submit"):
            for source in sources:
                source.start(sampling)
            stage("launch")
            execution = cluster.submit(job)
        _follow(execution, stage)
        timed_out = not _wait(execution, job.timeout, end)
        if timed_out:
            execution.cancel()
        attempt.spans["cpu"] = time.process_time() - cpu
        with _span(attempt, "collect"), _full_disk():
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
    with _span(attempt, "store"):
        withheld = contention_of(attempt.case, folder)
        events = events_of(outcome, withheld, sources)
        run = judge(attempt, outcome, timed_out=timed_out, events=events, contention=withheld)
        store.keep(attempt.run)
    return run


def events_of(
    outcome: Outcome, withheld: Mapping[str, float], sources: Sequence[MetricSource]
) -> list[RunEvent]:
    """Return what happened to a run, as its engine, its samples and its platform tell it."""
    watching = [one for one in sources if isinstance(one, ReportsEvents)]
    events = [*outcome.events, *(event for one in watching for event in one.events())]
    return [*events, *contention.events(withheld, [event.kind for event in events])]


def contention_of(case: Case, folder: Path) -> Mapping[str, float]:
    """Return what the machine withheld from the run, as the samples show it."""
    shapes = {"driver": case.driver, "worker": case.worker}
    limited = [role for role, shape in shapes.items() if shape.cpu_limit is not None]
    return contention.read(folder / "samples.parquet", limited)


def _wait(execution: Execution, timeout: float, end: float | None) -> bool:
    """Wait in slices; False when the run's own time is over, Stopped when the campaign's is."""
    limit = time.monotonic() + timeout
    while True:
        now = time.monotonic()
        if end is not None and now >= end:
            raise Stopped("the time limit is reached", remedy="run again to continue")
        if now >= limit:
            return False
        if execution.wait(min(SLICE, limit - now)):
            return True


def _follow(execution: Execution, stage: Callable[[str], None]) -> None:
    """Tell pipeline stages as the log shows them, from a thread that ends with the log."""

    def read() -> None:
        for rank, text in execution.lines():
            event = event_of(text.encode("ascii", "replace")) if rank == 0 else None
            if event is not None and event.event == "stage_start":
                stage(f"{event.name} (pass {event.number})" if event.number else f"{event.name}")

    threading.Thread(target=read, name="bench-follow", daemon=True).start()


@contextlib.contextmanager
def _span(attempt: Attempt, name: str) -> Iterator[None]:
    begun = time.monotonic()
    try:
        yield
    finally:
        attempt.spans[name] = time.monotonic() - begun


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
