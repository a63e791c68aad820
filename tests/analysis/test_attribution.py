"""Planted causes are named first and by their amount; parts always add up to the measured time."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.attribution.attribution import WORK, Attribution, attribute, gap
from bench.run_files.spark_event_log import read
from tests.analysis.attributed import adds_up, seconds, whole
from tests.eventlogs import EPOCH, Job, Stage, Task, build, even, with_straggler

LOGS = Path(__file__).parents[1] / "run_files" / "eventlogs"
REAL = [
    "spark-3.5.9.zstd",
    "spark-4.1.4.zstd",
    "spark-4.3.0.lz4",
    "spark-4.3.0-two-executors.zstd",
    "spark-4.3.0-failures.zstd",
]


def noisy(seed: int, count: int = 32, **more: float) -> list[Task]:
    """Return tasks of about a second with a little of everything in them."""
    rng = random.Random(seed)

    def one() -> Task:
        cpu = rng.uniform(0.9, 1.0)
        gc, wait = rng.uniform(0, 0.01), rng.uniform(0, 0.01)
        plain = Task(
            run=cpu + gc + wait + rng.uniform(0, 0.01),
            cpu=cpu,
            gc=gc,
            fetch_wait=wait,
            delay=rng.uniform(0, 0.01),
            deserialize=rng.uniform(0, 0.01),
            serialize=rng.uniform(0, 0.005),
            shuffle_read=rng.uniform(0.95e6, 1.05e6),
        )
        grown = {name: getattr(plain, name) + value for name, value in more.items()}
        return replace(plain, **grown)

    return [one() for _ in range(count)]


def two(tasks: Sequence[Task], **second: Any) -> list[Job]:
    """Return a job of a map and a reduce stage, the planted tasks in the first."""
    after = Stage(tasks=noisy(99), parents=[0])
    return [Job(stages=[Stage(tasks=tasks), after], pause=0.05), Job(**_plain() | second)]


def _plain() -> dict[str, Any]:
    return {"stages": [Stage(tasks=noisy(98))], "pause": 0.05}


def straggler(seed: int) -> list[Job]:
    return two(with_straggler(noisy(seed), 20))


def skewed(seed: int) -> list[Job]:
    tasks = with_straggler(noisy(seed), 20)
    return two([*tasks[:-1], replace(tasks[-1], shuffle_read=20e6)])


def spilling(seed: int) -> list[Job]:
    tasks = noisy(seed, run=1.5)
    return two([replace(task, spill_disk=5e8, spill_memory=2e9) for task in tasks])


def failing(seed: int) -> list[Job]:
    lost = [replace(task, failed=True) for task in noisy(seed + 1)]
    return two([*noisy(seed), *lost])


CAUSES: dict[str, Callable[[int], list[Job]]] = {
    "stragglers": straggler,
    "skew": skewed,
    "spill": spilling,
    "failed attempts": failing,
    "GC": lambda seed: two(noisy(seed, run=0.8, gc=0.8)),
    "shuffle wait": lambda seed: two(noisy(seed, run=0.8, fetch_wait=0.8)),
    "shuffle write": lambda seed: two(noisy(seed, run=0.8, shuffle_write_time=0.8)),
    "contention": lambda seed: two(noisy(seed, run=0.8)),
    "scheduling": lambda seed: two(noisy(seed, delay=0.8)),
    "deserialization": lambda seed: two(noisy(seed, deserialize=0.8)),
    "result handling": lambda seed: two(noisy(seed, fetch_result=0.8)),
    "driver": lambda seed: two(noisy(seed), **_plain() | {"pause": 7.0}),
    "idle slots": lambda seed: two([replace(task, run=8.0, cpu=8.0) for task in noisy(seed, 5)]),
}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("cause", CAUSES)
def test_a_planted_cause_is_named_first(cause: str, seed: int) -> None:
    log = build(CAUSES[cause](seed), executors=2, cores=2)
    found = whole(log, 4)
    assert found.losses[0].name == cause
    adds_up(found, log.end - log.begin)


def test_a_planted_start_up_is_named_first() -> None:
    found = whole(build(two(noisy(1)), executors=2, cores=2, startup=6.0), 4)
    assert found.losses[0].name == "start-up"
    assert seconds(found)["start-up"] == pytest.approx(6.05, abs=1e-5)
    adds_up(whole(build(two(noisy(1))), 1, launch=30.0), build(two(noisy(1))).end - EPOCH + 30)


def test_amounts_are_those_that_were_planted() -> None:
    tasks = even(
        4,
        run=10.0,
        cpu=5.0,
        gc=1.0,
        fetch_wait=0.5,
        shuffle_write_time=0.25,
        delay=0.4,
        deserialize=0.3,
        serialize=0.2,
        fetch_result=0.1,
    )
    log = build(
        [Job(stages=[Stage(tasks=tasks)]), Job(stages=[Stage(tasks=even(2))], pause=3.0)], cores=4
    )
    assert seconds(whole(log, 4)) == pytest.approx(
        {
            "compute": 5.0 + 0.5,
            "GC": 1.0,
            "shuffle wait": 0.5,
            "shuffle write": 0.25,
            "contention": 3.25,
            "scheduling": 0.4,
            "deserialization": 0.3,
            "result handling": 0.3,
            "driver": 3.0,
            "idle slots": 0.5,
        },
        abs=1e-5,
    )


def test_a_stage_end_is_divided_into_too_few_skew_and_stragglers() -> None:
    tasks = [
        *even(5, shuffle_read=1e6),
        Task(run=7.0, shuffle_read=4e6),  # of 6 s in excess, 3 go with the bytes
    ]
    found = seconds(whole(build([Job(stages=[Stage(tasks=tasks)])], cores=4), 4))
    # The last task runs from 1 to 8 s beside one of 1 to 2: 4 x 8 slots less 12 under tasks.
    # With all of 1 s each: 4 slots x 2 waves less 6.
    assert found["idle slots"] * 4 == pytest.approx(2.0, abs=1e-5)
    assert found["skew"] * 4 == pytest.approx(9.0, abs=1e-5)
    assert found["stragglers"] * 4 == pytest.approx(9.0, abs=1e-5)


def test_the_first_wave_shows_the_warm_up() -> None:
    tasks = [*even(2, run=3.0, shuffle_read=1e6), *even(8, run=1.0, shuffle_read=1e6)]
    log = build([Job(stages=[Stage(tasks=tasks)])], executors=2, cores=1)
    found = whole(log, 2)
    assert seconds(found) == pytest.approx({"start-up": 2.0, "compute": 5.0}, abs=1e-5)
    assert found.notes == ()
    hidden = whole(build([Job(stages=[Stage(tasks=tasks[:6])])], executors=2, cores=1), 2)
    assert "start-up" not in seconds(hidden)
    assert "warm-up (JIT) of 2 executors cannot be told" in hidden.notes[0]


def test_what_lies_outside_the_window_is_not_counted_nor_told() -> None:
    first = Job(stages=[Stage(tasks=even(4, run=3.0, cpu=0.1), python=True)])
    log = build([first, Job(stages=[Stage(tasks=even(8))], pause=1.0)])
    found = attribute(log, log.begin + 13.0, log.end, 1)
    assert seconds(found) == pytest.approx({"compute": 8.0}, abs=1e-5)
    assert found.notes == ()


def test_more_data_in_the_first_wave_is_no_warm_up() -> None:
    tasks = [*even(2, run=3.0, shuffle_read=3e6), *even(8, run=1.0, shuffle_read=1e6)]
    found = whole(build([Job(stages=[Stage(tasks=tasks)])], executors=2, cores=1), 2)
    assert seconds(found) == pytest.approx({"compute": 7.0}, abs=1e-5)


def test_a_lost_executor_is_named() -> None:
    log = build([Job(stages=[Stage(tasks=even(10))])], executors=2)
    log.executors.loc[1, "removed"] = EPOCH + 5.0
    half = replace(log, tasks=log.tasks[log.tasks["executor"] == "0"].reset_index(drop=True))
    found = attribute(half, EPOCH, EPOCH + 6.0, 2)
    assert seconds(found)["missing executors"] * 2 == pytest.approx(1.0, abs=1e-5)
    adds_up(found, 6.0)


def test_what_contradicts_itself_is_cut_and_told() -> None:
    tasks = even(8, run=1.0, cpu=0.9, gc=0.9, fetch_wait=0.9)
    found = whole(build([Job(stages=[Stage(tasks=tasks)])]), 1)
    assert seconds(found) == pytest.approx({"compute": 7.2, "GC": 0.8}, abs=1e-5)
    assert any("exceed the tasks' time" in note for note in found.notes)
    crowded = whole(build([Job(stages=[Stage(tasks=even(8))])], cores=4), 2)
    assert any("up to 4 tasks at once on 2 slots" in note for note in crowded.notes)
    adds_up(crowded, 2.0)


def test_missing_figures_are_told_and_not_taken_for_zero_quietly() -> None:
    log = build([Job(stages=[Stage(tasks=even(8))])])
    log.tasks["gc"] = float("nan")
    log.tasks.loc[0, ["run", "cpu"]] = float("nan")
    found = whole(replace(log, partial="torn"), 1)
    assert seconds(found)["not known"] == pytest.approx(1.0, abs=1e-5)
    assert any("lacks gc" in note for note in found.notes)
    assert any("partial" in note for note in found.notes)
    assert found.partial == "torn"


def test_python_workers_are_not_taken_for_contention() -> None:
    stage = Stage(tasks=even(8, run=2.0, cpu=0.1), python=True)
    found = whole(build([Job(stages=[stage])], cores=2), 2)
    assert seconds(found) == pytest.approx({"compute": 0.4, "Python workers": 7.6}, abs=1e-5)
    assert any("Python" in note for note in found.notes)


def test_spill_without_calm_tasks_is_told() -> None:
    tasks = even(8, run=2.0, cpu=1.0, spill_disk=1e9)
    found = whole(build([Job(stages=[Stage(tasks=tasks)])]), 1)
    assert seconds(found) == pytest.approx({"compute": 8.0, "spill": 8.0}, abs=1e-5)
    assert any("every task spilled" in note for note in found.notes)


@pytest.mark.parametrize("name", REAL)
def test_parts_add_up_to_the_measured_time_of_real_logs(name: str) -> None:
    log = read(LOGS / name)
    first, last = log.jobs["submitted"].min(), log.jobs["completed"].max()
    for begin, end in ((log.begin, log.end), (first, last), (first + 0.7, last - 0.4)):
        adds_up(attribute(log, begin, end, 2), end - begin, within=0.02)


@pytest.mark.parametrize("name", REAL[:4])
def test_parts_of_real_logs_are_those_of_a_count_by_milliseconds(name: str) -> None:
    log = read(LOGS / name)
    begin, end = log.jobs["submitted"].min(), log.jobs["completed"].max()
    running = [0] * round((end - begin) * 1000)
    stage = running.copy()
    for table, start, stop, count in (
        (log.tasks, "launch", "finish", running),
        (log.stages, "submitted", "completed", stage),
    ):
        for opened, closed in zip(table[start], table[stop], strict=True):
            for at in range(round((opened - begin) * 1000), round((closed - begin) * 1000)):
                count[at] += 1
    found = seconds(attribute(log, begin, end, 2))
    no_stage = sum(not active for active in stage) / 1000
    told = found.get("driver", 0) + found.get("start-up", 0)
    assert told == pytest.approx(no_stage, abs=0.002 + 0.02 * no_stage)
    good = log.tasks[["run", "deserialize", "serialize"]].to_numpy().sum() / 2
    outside = ("driver", "start-up", "scheduling", "skew", "stragglers", "idle slots")
    under = sum(value for name, value in found.items() if name not in outside)
    on_slots = sum(min(tasks, 2) for tasks in running) / 2000
    assert 0.98 * good <= under <= good + found.get("result handling", 0)
    assert under - found.get("result handling", 0) <= on_slots


def test_real_failures_are_named() -> None:
    log = read(LOGS / "spark-4.3.0-failures.zstd")
    found = seconds(attribute(log, log.begin, log.end, 2))
    assert found["failed attempts"] > 1
    assert "Python workers" not in found


durations = st.floats(0, 2).map(lambda value: round(value, 3))
tasks_of_any_kind = st.builds(
    Task,
    run=durations,
    cpu=st.none() | durations,
    delay=durations,
    deserialize=durations,
    serialize=durations,
    fetch_result=durations,
    gc=durations,
    fetch_wait=durations,
    shuffle_write_time=durations,
    shuffle_read=st.sampled_from([0.0, 1e6, 9e6]),
    spill_disk=st.sampled_from([0.0, 1e6]),
    failed=st.booleans(),
    speculative=st.booleans(),
)
stages_of_any_kind = st.builds(
    Stage,
    tasks=st.lists(tasks_of_any_kind, min_size=1, max_size=6),
    parents=st.just(()),
    delay=durations,
    python=st.booleans(),
)
jobs_of_any_kind = st.lists(
    st.builds(Job, stages=st.lists(stages_of_any_kind, min_size=1, max_size=3), pause=durations),
    min_size=0,
    max_size=3,
)


@settings(max_examples=80, deadline=None)
@given(
    jobs=jobs_of_any_kind,
    executors=st.integers(1, 3),
    cores=st.integers(1, 2),
    slots=st.integers(1, 8),
    startup=durations,
    window=st.tuples(st.floats(-1, 5), st.floats(0.1, 20)),
    lost=st.none() | st.floats(0, 5),
)
def test_parts_always_add_up(
    jobs: list[Job],
    executors: int,
    cores: int,
    slots: int,
    startup: float,
    window: tuple[float, float],
    lost: float | None,
) -> None:
    log = build(jobs, executors=executors, cores=cores, startup=startup)
    if lost is not None:
        log.executors.loc[0, "removed"] = log.begin + lost
    begin, end = EPOCH + window[0], EPOCH + window[0] + window[1]
    found = attribute(log, begin, end, slots)
    adds_up(found, end - begin)
    alone = attribute(log, begin, end, 1)
    parts = gap(alone, found)
    expected = found.wall - alone.wall / slots
    assert sum(part.seconds for part in parts) == pytest.approx(expected, rel=1e-6, abs=1e-5)


def test_the_gap_names_what_added_workers_are_lost_to() -> None:
    def run(slots: int) -> Attribution:
        jobs = [Job(stages=[Stage(tasks=even(8))]), Job(stages=[Stage(tasks=even(8))], pause=2.0)]
        return whole(build(jobs, cores=slots), slots)

    one, four = run(1), run(4)
    assert (one.wall, four.wall) == pytest.approx((18.0, 6.0))
    (part,) = [part for part in gap(one, four) if abs(part.seconds) > 1e-5]
    assert part.name == "driver"
    assert part.seconds == pytest.approx(2.0 - 2.0 / 4, abs=1e-5)
    assert part.share == pytest.approx(1.0, abs=1e-4)


def test_the_gap_names_gains_too() -> None:
    slow = whole(build([Job(stages=[Stage(tasks=even(8, run=2.0, gc=1.0))])]), 1)
    fast = whole(build([Job(stages=[Stage(tasks=even(8, run=1.2, gc=0.2))])], cores=2), 2)
    parts = gap(slow, fast)
    assert parts[-1].name == "GC"
    assert parts[-1].seconds == pytest.approx(-3.2, abs=1e-5)
    assert sum(part.seconds for part in parts) == pytest.approx(fast.wall - slow.wall / 2)


def test_a_window_or_slots_that_are_none_are_refused() -> None:
    log = build([Job(stages=[Stage(tasks=even(1))])])
    with pytest.raises(ValueError, match="not behind its beginning"):
        attribute(log, log.end, log.begin, 1)
    with pytest.raises(ValueError, match="0 slots"):
        attribute(log, log.begin, log.end, 0)


def test_the_work_itself_is_no_loss() -> None:
    found = whole(build(two(noisy(5)), cores=2), 2)
    assert not {part.name for part in found.losses} & set(WORK)
    losses = [part.seconds for part in found.losses]
    assert losses == sorted(losses, reverse=True)
