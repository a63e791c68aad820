"""What the machine withheld reaches a run's record and its marks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from bench.contracts import Cluster, Execution, Facts, MetricSource, Outcome
from bench.ids import utc_now
from bench.records.cluster import Job
from bench.records.results import Run, RunEvent
from bench.records.study import Shape
from bench.runner import run_record
from bench.runner.execute import RunContext, execute
from bench.runner.stop import Stop
from bench.store.folder import Store
from tests.analysis.factory import Maker, case
from tests.jobs import job
from tests.run_files.test_contention import FREE, HELD, HOST, columns

HALF = Shape(cpu_limit=0.5)


def attempt(**changes: Shape) -> run_record.Attempt:
    """Return what is known of a run whose case has these shapes."""
    run = Maker().run(case())
    return run_record.Attempt(
        run=run.run,
        cell=run.cell,
        case=msgspec.structs.replace(case(), **changes),
        number=1,
        session="s1",
        cluster="k1",
        started_at=run.started_at,
        task="t",
        bundle="b",
    )


def samples(folder: Path) -> None:
    """Write samples in which the hypervisor took a quarter, and a quota half of a worker."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = columns([(1.0, "host", HOST), (1.0, "driver", FREE), (1.0, "worker-0", HELD)])
    pq.write_table(pa.table(rows), folder / "samples.parquet")


class Done(Execution):
    """An execution that ended at once, with samples of the machine or without."""

    def __init__(self, kinds: Sequence[str], sampled: bool) -> None:
        self._events = [RunEvent(at=utc_now(), kind=kind, text="by the engine") for kind in kinds]
        self._sampled = sampled

    def lines(self) -> Iterator[tuple[int, str]]:
        return iter(())

    def wait(self, timeout: float) -> bool:
        return True

    def cancel(self) -> None:
        pass

    def collect(self, folder: Path) -> Outcome:
        if self._sampled:
            samples(folder)
        return Outcome(status="ok", events=tuple(self._events))


class Ready(Cluster):
    """A cluster with one execution."""

    def __init__(self, execution: Execution) -> None:
        self.facts = Facts()
        self._execution = execution

    def submit(self, job: Job) -> Execution:
        return self._execution

    def sources(self) -> Sequence[MetricSource]:
        return ()

    def close(self) -> None:
        pass


def executed(of: run_record.Attempt, execution: Execution, folder: Path) -> Run:
    """Return the record of an execution."""
    context = RunContext(store=Store(folder), stop=Stop(), stage=lambda text: None)
    return execute(Ready(execution), job("spark"), of, context)


@pytest.mark.parametrize(
    ("shapes", "before", "kinds"),
    [
        ({}, (), ["steal", "throttled"]),
        ({"worker": HALF}, (), ["steal"]),
        ({"driver": HALF}, (), ["steal", "throttled"]),
        ({}, ("throttled",), ["throttled", "steal"]),
    ],
)
def test_a_run_carries_it(
    shapes: dict[str, Shape], before: tuple[str, ...], kinds: list[str], tmp_path: Path
) -> None:
    run = executed(attempt(**shapes), Done(before, sampled=True), tmp_path)
    assert [event.kind for event in run.events] == kinds
    assert run.contention["steal"] == pytest.approx(0.25)


def test_without_samples_nothing_is_said(tmp_path: Path) -> None:
    run = executed(attempt(), Done((), sampled=False), tmp_path)
    assert (run.contention, run.events) == ({}, ())
