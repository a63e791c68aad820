"""The time of a live run is named: Spark's own figures against the harness's measured time."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.analysis.attribution.attribution import attribute, gap
from bench.reading.attributions import attribution
from bench.records import spark_log
from bench.records.results import Run
from bench.run_files import spark_event_log, workload_log
from bench.store.folder import Store
from tests.campaigns import campaign

pytestmark = [pytest.mark.real, pytest.mark.timeout(1200)]

STUDY = """
title   = "attributed"
workers = [1, 2]
repeats = 1
timeout = "5 min"
[dataset.small]
generator = "spark-perf"
rows      = 16384
features  = 20
[[workload]]
use     = ["spark-logistic-regression", "tensorflow-logistic-regression"]
dataset = "small"
params  = { tolerance = 1e-6 }
[[environment]]
name   = "here"
kind   = "local"
worker = { cores = 1, memory = "1 GiB" }
"""


def window(log: Path) -> tuple[float, float]:
    """Return when the driver said ready and end, in seconds since the epoch."""
    events = [workload_log.event_of(line) for line in log.read_bytes().splitlines()]
    at = {event.event: event.wall_ns / 1e9 for event in events if event is not None}
    return at["ready"], at["end"]


def test_parts_add_up_to_the_measured_work_of_live_runs(work: Path) -> None:
    study = work / "attributed.toml"
    study.write_text(STUDY)
    store = Store(work / "results")
    tally, memory = campaign(study, store)
    assert (tally.ok, memory.notes) == (4, [])
    known = store.read()
    of_spark(store, [run for run in known.runs if "spark" in run.versions])
    of_tensorflow(store, [run for run in known.runs if "tensorflow" in run.versions])


def of_tensorflow(store: Store, runs: list[Run]) -> None:
    """Ranks that tell their collectives leave nothing that cannot be told apart."""
    assert sorted(run.cell.workers for run in runs) == [1, 2]
    for run in runs:
        case = store.read().cases.get(run.cell.case)
        assert case is not None
        found = attribution(store, run, case)
        assert found is not None
        assert not [note for note in found.notes if "told apart" in note]
        assert sum(part.seconds for part in found.parts) == pytest.approx(found.wall)
        # The window is the longest rank's, the phase is rank 0's.
        assert found.wall == pytest.approx(run.phases["work"], rel=0.02, abs=0.2)
        names = {part.name for part in found.parts}
        assert {"compute", "input"} <= names
        assert ("collective wait" in names) == (run.cell.workers > 1)


def of_spark(store: Store, runs: list[Run]) -> None:
    """Parts add up to the phase, and the gap's parts to the gap."""
    assert sorted(run.cell.workers for run in runs) == [1, 2]
    found = {}
    for run in runs:
        folder = store.root / run.run
        log = spark_event_log.read(folder / spark_log.FILE)
        assert log.partial == ""
        begin, end = window(folder / "driver.log")
        found[run.cell.workers] = it = attribute(log, begin, end, run.cell.workers)
        total = sum(part.seconds for part in it.parts)
        assert total == pytest.approx(run.phases["work"], rel=0.02)
        # Some of it is work, and the CPU is no more than the whole containers used.
        compute = sum(part.slot_seconds for part in it.parts if part.name == "compute")
        assert compute > 0
        assert run.worker_cpu is None or compute < run.worker_cpu
    lost = gap(found[1], found[2])
    assert sum(part.seconds for part in lost) == pytest.approx(found[2].wall - found[1].wall / 2)
