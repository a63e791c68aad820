"""The campaign on the fake environment: what is done stays, what fails is data."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

from bench import environments
from bench.errors import Stopped, UnsuitableEnvironment
from bench.locks import session_alive
from bench.records.study import EnvironmentSpec
from bench.runner import cleanup, run
from bench.store.folder import Store
from tests.campaigns import Memory, campaign, prepare, write

ROOT = Path(__file__).parents[2]


def leftovers() -> list[str]:
    fake = environments.build(EnvironmentSpec(name="fake", kind="fake"))
    return [one.text for one in fake.owned()]


def events(store: Store) -> list[str]:
    texts = [path.read_text().splitlines() for path in sorted(store.root.glob("*.jsonl"))]
    return [json.loads(line)["record"] for lines in texts for line in lines]


def test_every_cell_is_run_once_and_kept_with_its_log(work: Path) -> None:
    store = Store(work / "results" / "fake")
    tally, memory = campaign(write(work), store)
    assert (tally.ok, tally.remaining, tally.unsuccessful, memory.planned) == (8, 0, 0, 8)
    read = store.read()
    assert len({one.cell.key for one in read.runs}) == 8
    for one in read.runs:
        assert (store.folder(one.run) / "rank-0.log").is_file()
        assert one.workers_seen == one.workers_wanted
        assert one.digests is not None
        assert read.bundles[one.digests.bundle].task == "logistic-regression/1"
        assert set(one.machines) <= set(read.machines)
    assert leftovers() == []
    assert not list(store.root.glob(".partial-*"))


def test_the_cluster_is_kept_and_adapted_between_cells(work: Path) -> None:
    kept, opened = Store(work / "kept"), Store(work / "opened")
    campaign(write(work), kept)
    campaign(write(work, more="reuse = false"), opened)

    def count(store: Store) -> Counter[str]:
        return Counter(line.event for line in store.read().clusters)

    assert (count(kept)["opening"], count(kept)["closed"]) == (1, 1)
    assert count(kept)["adapted"] > 1
    assert (count(opened)["opening"], count(opened)["closed"], count(opened)["adapted"]) == (
        8,
        8,
        0,
    )


def test_a_second_run_repeats_nothing_and_a_new_campaign_everything(work: Path) -> None:
    store, study = Store(work / "results"), write(work)
    campaign(study, store)
    tally, _ = campaign(study, store)
    assert (tally.ok, tally.remaining) == (0, 0)
    tally, _ = campaign(study, store, new=True)
    assert tally.ok == 8
    read = store.read()
    assert len({one.campaign for one in read.sessions.values()}) == 2
    assert len({one.cell.key for one in read.runs}) == 8


def test_more_repeats_run_only_what_is_new(work: Path) -> None:
    store = Store(work / "results")
    campaign(write(work, repeats=1), store)
    tally, _ = campaign(write(work, repeats=3), store)
    assert tally.ok == 8


def test_repeats_by_width_add_blocks_and_say_which_cells_are_wide(work: Path) -> None:
    store = Store(work / "results")
    study = write(work, repeats="{ width = 1e-9, at_most = 5 }")
    tally, memory = campaign(study, store)
    assert (tally.ok, tally.remaining, tally.unsuccessful, memory.planned) == (20, 0, 0, 12)
    assert len(memory.wanted) == 20
    assert sum(note.startswith("still wide: ") for note in memory.notes) == 4
    tally, _ = campaign(study, store)
    assert (tally.ok, tally.remaining) == (0, 0)
    wide = work / "wide"
    wide.mkdir()
    tally, memory = campaign(write(wide, repeats="{ width = 1, at_most = 4 }"), store)
    assert (tally.ok, tally.unsuccessful) == (0, 0)


def test_a_failed_cell_is_data_and_the_campaign_goes_on(work: Path) -> None:
    store = Store(work / "results")
    study = write(work, more="fail_workers = [2]", retries=1)
    tally, _ = campaign(study, store)
    assert (tally.ok, tally.failed, tally.unsuccessful, tally.remaining) == (4, 8, 4, 0)
    failed = [one for one in store.read().runs if one.status == "failed"]
    assert {one.reason for one in failed} == {"the study asks for this failure"}
    assert sorted(Counter(one.attempt for one in failed).items()) == [(1, 4), (2, 4)]
    assert all((store.folder(one.run) / "rank-0.log").is_file() for one in failed)
    assert campaign(study, store)[0].failed == 0
    assert campaign(study, store, retry_failed=True)[0].failed == 4


def test_a_cell_that_hangs_times_out_and_one_that_cannot_open_says_why(work: Path) -> None:
    store = Store(work / "results")
    more = "hang_workers = [1]\nrefuse_workers = [2]"
    tally, _ = campaign(write(work, repeats=1, timeout="1 s", more=more), store)
    assert (tally.timeout, tally.failed) == (2, 2)
    reasons = {one.reason for one in store.read().runs}
    assert reasons == {"not done after 1 s", "the fake refuses to open 2 workers"}
    assert leftovers() == []


def test_cells_that_do_not_fit_are_skipped_and_a_study_that_does_not_is_refused(
    work: Path,
) -> None:
    store = Store(work / "results")
    tally, _ = campaign(write(work, more="capacity = 1"), store)
    assert (tally.ok, tally.skipped, tally.unsuccessful) == (4, 4, 0)
    skipped = [one for one in store.read().runs if one.status == "skipped"]
    assert {one.reason for one in skipped} == {"2 workers are more than the capacity 1"}
    none = Store(work / "none")
    with pytest.raises(UnsuitableEnvironment, match="more than the capacity 1; use fewer"):
        campaign(write(work, workers=[2, 3], more="capacity = 1"), none)
    assert not none.root.exists()


def test_the_time_limit_stops_and_a_second_run_continues(work: Path) -> None:
    store, study = Store(work / "results"), write(work, more="sleep = 0.2")
    with pytest.raises(Stopped, match="the time limit is reached; run again"):
        run(prepare(study), store, Memory(), max_time=0.5)
    kept = {one.run for one in store.read().runs}
    tally, _ = campaign(study, store)
    assert (tally.ok + len(kept), leftovers()) == (8, [])


def test_an_interrupt_stops_cleanly_and_does_not_count_as_an_attempt(work: Path) -> None:
    store, study = Store(work / "results"), write(work, more="sleep = 60.0")
    words = [sys.executable, "-m", "bench", "run", str(study), "--results", str(work / "r")]
    process = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(ROOT)})
    store = Store(work / "r" / "fake")
    deadline = time.monotonic() + 60
    while "started" not in events(store) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 3
    assert events(store)[-2:] == ["stopped", "cluster"]
    assert (store.read().orphans, leftovers()) == ([], [])
    assert not list(store.root.glob("*/rank-0.log"))


def kill(study: Path, results: Path, event: int, moment: str) -> bool:
    """Run until the event kills it; False when it came to its end before."""
    words = [sys.executable, "-m", "tests.runner.kill_at", str(study), str(results)]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "workloads")])
    done = subprocess.run(
        [*words, str(event), moment],
        env={**os.environ, "PYTHONPATH": paths, "TMPDIR": tempfile.gettempdir()},
        cwd=ROOT,
        check=False,
        timeout=60,
    )
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode != 0


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_journal_event_it_completes_with_the_planned_cells(
    work: Path, moment: str
) -> None:
    study = write(work, repeats=1)
    planned = {cell.key for cell in prepare(study).plan().cells}
    event = 1
    while True:
        store = Store(work / f"results-{event}")
        if not kill(study, store.root, event, moment):
            break
        kept = store.read().runs
        assert all(not session_alive(name) for name in store.read().sessions)
        tally, _ = campaign(study, store)
        read = store.read()
        assert leftovers() == []
        assert [one.run for one in read.runs[: len(kept)]] == [one.run for one in kept]
        assert sorted(one.cell.key for one in read.runs if one.status == "ok") == sorted(planned)
        assert (tally.ok, tally.unsuccessful) == (4 - len(kept), 0)
        folders = {path.name for path in store.root.iterdir() if path.is_dir()}
        assert folders == {one.run for one in read.runs}
        event += 1
    assert event > 12


def test_a_cell_that_took_the_harness_down_twice_is_given_up_and_named(work: Path) -> None:
    study, store = write(work, repeats=1), Store(work / "results")
    tries = {event: Store(work / f"try-{event}") for event in range(1, 12)}
    begun = next(
        event
        for event, tried in tries.items()
        if kill(study, tried.root, event, "after") and events(tried)[-1] == "started"
    )
    assert all(kill(study, store.root, begun, "after") for _ in range(2))
    tally, memory = campaign(study, store)
    assert (tally.ok, tally.unsuccessful) == (3, 1)
    given = [text for text in memory.notes if text.startswith("given up: ")]
    assert len(given) == 1
    assert "two starts took the harness down" in given[0]
    tally, memory = campaign(study, store, retry_failed=True)
    assert (tally.ok, tally.unsuccessful) == (1, 0)


def test_cleanup_finds_only_what_dead_sessions_of_these_results_left(work: Path) -> None:
    study = write(work)
    mine, other = Store(work / "mine"), Store(work / "other")
    assert kill(study, mine.root, 6, "after")
    assert kill(study, other.root, 6, "after")
    place = prepare(study).environments
    assert len(leftovers()) == 2
    found = mine.read()
    list(cleanup.find(mine, found, place, cleanup.dead_sessions(found)).remove(mine))
    assert len(leftovers()) == 1
    found = other.read()
    assert len(cleanup.find(other, found, place, cleanup.dead_sessions(found)).resources) == 1
