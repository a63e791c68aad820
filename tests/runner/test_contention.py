"""What the machine withheld reaches a run's record and its marks."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bench.contracts import Outcome
from bench.ids import utc_now
from bench.records.results import RunEvent
from bench.records.study import Shape
from bench.runner import execute, run_record
from tests.analysis.factory import Maker, case
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


@pytest.mark.parametrize(
    ("shapes", "before", "kinds"),
    [
        ({}, (), ["steal", "throttled"]),
        ({"worker": HALF}, (), ["steal"]),
        ({"driver": HALF}, (), ["steal", "throttled"]),
        ({}, (("throttled", "by the engine"),), ["throttled", "steal"]),
    ],
)
def test_a_run_carries_it(
    shapes: dict[str, Shape], before: tuple[tuple[str, str], ...], kinds: list[str], tmp_path: Path
) -> None:
    samples(tmp_path)
    seen = [RunEvent(at=utc_now(), kind=kind, text=text) for kind, text in before]
    outcome = Outcome(status="ok", events=tuple(seen))
    one = attempt(**shapes)
    withheld = execute.contention_of(one.case, tmp_path)
    events = execute.events_of(outcome, withheld, [])
    run = run_record.judge(one, outcome, timed_out=False, events=events, contention=withheld)
    assert [event.kind for event in run.events] == kinds
    assert run.contention["steal"] == pytest.approx(0.25)


def test_without_samples_nothing_is_said(tmp_path: Path) -> None:
    assert execute.contention_of(case(), tmp_path) == {}
