"""Hand-made Spark logs whose time on other worker counts is known exactly."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.replay import stage_graph
from bench.analysis.replay.replay import Replay, beside, makespan, replay
from bench.records.spark_log import SparkLog
from tests.eventlogs import EPOCH, Job, Stage, Task, build, even, with_straggler

COUNTS = (1, 2, 4, 8)


def whatif(log: SparkLog, at: Sequence[int] = COUNTS, workers: int = 1, **said: Any) -> Replay:
    """Replay the whole application of executors with one core each."""
    words = {"cores": 1, "partitions": "fixed", **said}
    return replay(log, log.begin, log.end, workers=workers, at=at, **words)


def times(found: Replay) -> list[float]:
    """Return the points' times, in ms as whole as the epoch's floats allow."""
    return [round(point.seconds, 3) for point in found.points]


def test_independent_tasks_are_shared_out() -> None:
    log = build([Job(stages=[Stage(tasks=even(8, run=1.0))])])
    assert times(whatif(log)) == [8, 4, 2, 1]
    assert times(whatif(log, at=[3, 16])) == [3, 1]


def test_a_chain_takes_as_long_on_any_number_of_workers() -> None:
    chain = [Stage(tasks=even(1, run=2.0), parents=[i - 1] if i else []) for i in range(3)]
    assert times(whatif(build([Job(stages=chain)]))) == [6, 6, 6, 6]


def test_fork_and_join() -> None:
    left, right = (Stage(tasks=even(2, run=3.0), name=name) for name in ("left", "right"))
    join = Stage(tasks=even(1, run=1.0), parents=[0, 1], name="join")
    log = build([Job(stages=[left, right, join])])
    assert times(whatif(log)) == [13, 7, 4, 4]


def test_a_straggler_bounds_its_stage() -> None:
    log = build([Job(stages=[Stage(tasks=with_straggler(even(4, run=1.0), 5.0))])])
    assert times(whatif(log)) == [8, 6, 5, 5]


def test_the_driver_does_not_get_faster() -> None:
    job = Job(stages=[Stage(tasks=even(4, run=1.0), delay=0.5)], pause=2.0)
    found = whatif(build([job, job], shutdown=1.0))
    assert times(found) == [14, 10, 8, 8]
    assert found.driver == pytest.approx(6.0, abs=1e-3)


def test_what_a_task_costs_besides_running_stays() -> None:
    costly = even(4, run=1.0, delay=0.2, deserialize=0.3)
    assert times(whatif(build([Job(stages=[Stage(tasks=costly)])]))) == [6, 3, 1.5, 1.5]


def test_each_new_executor_pays_its_start_up() -> None:
    tasks = [Task(run=5.0), *even(7, run=1.0)]
    found = whatif(build([Job(stages=[Stage(tasks=tasks)])]))
    assert times(found) == [12, 8, 6, 5]
    assert found.startup == pytest.approx(4.0, abs=1e-3)


def test_start_up_that_two_executors_paid_is_paid_once_by_one() -> None:
    tasks = [*even(2, run=5.0), *even(6, run=1.0)]
    log = build([Job(stages=[Stage(tasks=tasks)])], executors=2)
    assert times(whatif(log, workers=2)) == [12, 8, 6, 5]


def test_deserialization_beyond_the_usual_is_paid_once_an_executor() -> None:
    first = Stage(tasks=even(2, run=1.0, deserialize=2.1), name="first")
    rest = [Stage(tasks=even(2, run=1.0, deserialize=0.1), parents=[i]) for i in range(4)]
    log = build([Job(stages=[first, *rest])], executors=2)
    assert times(whatif(log, at=[1, 2], workers=2)) == [pytest.approx(4.2 + 8.8), 7.5]


def test_rounds_before_the_window_warm_executors_up() -> None:
    tasks = [Task(run=5.0), *even(3, run=1.0)]
    log = build([Job(stages=[Stage(tasks=tasks)]), Job(stages=[Stage(tasks=even(4, run=1.0))])])
    later = replay(log, EPOCH + 8, log.end, workers=1, cores=1, at=[1, 2], partitions="fixed")
    assert times(later) == [4, 2]


def test_executors_that_register_late_are_waited_for() -> None:
    log = build([Job(stages=[Stage(tasks=even(4, run=1.0))])], startup=3.0)
    assert times(whatif(log)) == [7, 5, 4, 4]


def test_executors_of_several_cores() -> None:
    log = build([Job(stages=[Stage(tasks=even(16, run=1.0))])], cores=4)
    assert times(whatif(log, cores=4, at=[1, 2, 4])) == [4, 2, 1]


def test_the_cores_of_an_executor_start_up_together() -> None:
    tasks = [*even(4, run=5.0), *even(12, run=1.0)]
    log = build([Job(stages=[Stage(tasks=tasks)])], cores=4)
    assert times(whatif(log, cores=4, at=[1, 2, 4])) == [8, 6, 5]


def test_the_end_of_a_stage_is_the_drivers() -> None:
    log = build([Job(stages=[Stage(tasks=even(4, run=1.0))], pause=2.0)] * 2)
    later = log.stages.assign(completed=log.stages.completed + 0.5)
    assert times(whatif(dataclasses.replace(log, stages=later))) == [12.5, 8.5, 6.5, 6.5]


def test_stages_with_slots_of_their_own_overlap() -> None:
    wide = Stage(tasks=even(2, run=4.0), name="wide")
    short = Stage(tasks=even(1, run=1.0), name="short")
    after = Stage(tasks=even(1, run=2.0), parents=[1], name="after")
    log = build([Job(stages=[wide, short, after])])
    assert times(whatif(log, at=[1, 2, 3])) == [11, 7, 4]


def test_data_that_follows_the_workers_is_cut_anew() -> None:
    stage = Stage(tasks=even(2, run=4.0, delay=0.5), name="map")
    log = build([Job(stages=[stage, Stage(tasks=even(1, run=1.0), parents=[0])])])
    assert times(whatif(log, partitions="workers")) == [10, 5.5, 3.5, 2.5]
    assert times(whatif(log, partitions="fixed")) == [10, 5.5, 5.5, 5.5]


def test_counts_that_cannot_be_known_are_refused_with_a_best_guess() -> None:
    log = build([Job(stages=[Stage(tasks=even(2, run=4.0))])])
    found = whatif(log, partitions=None)
    why = [point.refused.partition(":")[0] for point in found.points]
    assert why == ["", "", "partitions", "partitions"]
    assert [math.isinf(point.high) for point in found.points] == [False, False, True, True]
    assert times(found) == [8, 4, 4, 4]


def test_spark_default_parallelism_fixes_the_partitions() -> None:
    conf = {"spark.default.parallelism": "2"}
    log = build([Job(stages=[Stage(tasks=even(2, run=4.0))])], conf=conf)
    for said in (None, "workers"):
        found = whatif(log, partitions=said)
        assert (times(found), [p.refused for p in found.points]) == ([8, 4, 4, 4], 4 * [""])


def test_more_workers_than_the_machine_has_cores_are_refused() -> None:
    log = build([Job(stages=[Stage(tasks=even(8, run=1.0))])])
    half = whatif(log, worker_cpu=0.5, machine_cores=2.0)
    assert [bool(point.refused) for point in half.points] == [False, False, False, True]
    assert half.points[3].refused.startswith("contention: 8 workers of 0.5 cores want 4")
    assert not any(point.refused for point in whatif(log).points)
    driven = whatif(log, worker_cpu=0.5, machine_cores=2.0, driver_cpu=1.0)
    assert [bool(point.refused) for point in driven.points] == [False, False, True, True]
    assert driven.points[2].refused.startswith("contention: 4 workers of 0.5 cores and the driver")


def test_a_run_that_was_cramped_itself_tells_of_no_other_count() -> None:
    log = build([Job(stages=[Stage(tasks=even(8, run=1.0))])], executors=4)
    cramped = whatif(log, at=[1, 4], workers=4, worker_cpu=1.0, machine_cores=2.0)
    assert [bool(point.refused) for point in cramped.points] == [True, False]


def test_a_tree_that_would_get_another_level_is_refused() -> None:
    log = build([Job(stages=[Stage(tasks=even(2, run=4.0), name="treeAggregate at A.scala:1")])])
    found = whatif(log, at=[1, 4, 5, 6], partitions="workers")
    assert ["level" in point.refused for point in found.points] == [False, False, False, True]


@pytest.mark.parametrize(("heap", "refused"), [("4g", [0, 0, 0]), ("1g", [1, 0, 0])])
def test_data_that_may_not_fit_the_caches_is_refused(heap: str, refused: list[int]) -> None:
    stage = Stage(tasks=even(4, run=1.0, input=200 * 2**20))
    log = build([Job(stages=[stage])], executors=2, conf={"spark.executor.memory": heap})
    found = whatif(log, at=[1, 2, 4], workers=2)
    assert [point.refused.startswith("cache") for point in found.points] == refused
    assert found.notes == ()


def test_data_that_did_not_fit_tells_nothing_of_more_workers() -> None:
    stage = Stage(tasks=even(4, run=1.0, input=2**30))
    log = build([Job(stages=[stage])], conf={"spark.executor.memory": "1024m"})
    assert [bool(point.refused) for point in whatif(log).points] == [False, True, True, True]


def test_what_cannot_be_checked_is_said() -> None:
    log = build([Job(stages=[Stage(tasks=[Task(failed=True), Task(speculative=True), Task()])])])
    notes = whatif(log).notes
    for said in ("1 failed", "1 speculative", "spark.executor.memory"):
        assert any(said in note for note in notes)
    blind = dataclasses.replace(log, tasks=log.tasks.assign(input=math.nan))
    assert "does not say what tasks read" in whatif(blind).notes[-1]


def test_the_interval_is_as_wide_as_tasks_scatter() -> None:
    rng = np.random.default_rng(3)
    noisy = [
        Stage(tasks=[Task(run=float(t)) for t in rng.lognormal(0, 0.5, 4)], parents=[i - 1])
        if i
        else Stage(tasks=even(4, run=1.0))
        for i in range(12)
    ]
    found = whatif(build([Job(stages=noisy)]), seed=5)
    for point in found.points:
        assert point.low < point.seconds < point.high
    assert found == whatif(build([Job(stages=noisy)]), seed=5)
    assert found.points != whatif(build([Job(stages=noisy)]), seed=6).points
    steady = whatif(build([Job(stages=[Stage(tasks=even(8, run=1.0))])]))
    assert [p.low for p in steady.points] == [p.high for p in steady.points]


def test_answers_stand_beside_what_was_measured() -> None:
    log = build([Job(stages=[Stage(tasks=even(8, run=1.0))])])
    answers = beside(whatif(log), {2: [5.0, 4.0, 9.0], 3: [1.0]})
    assert [one.runs for one in answers] == [0, 3, 0, 0]
    assert answers[1].measured == 5.0
    assert answers[1].error == pytest.approx(-0.2)
    assert (answers[0].measured, answers[0].error) == (None, None)


def test_nonsense_is_refused() -> None:
    log = build([Job(stages=[Stage(tasks=even(2))])])
    for said in ({"at": [0]}, {"workers": 0}, {"cores": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            whatif(log, **said)
    with pytest.raises(ValueError, match="not behind"):
        replay(log, log.end, log.begin, workers=1, cores=1, at=[1])
    with pytest.raises(ValueError, match="no Spark stage"):
        replay(log, log.end, log.end + 1, workers=1, cores=1, at=[1])


SECONDS = st.floats(0.01, 20.0)
TASKS = st.lists(SECONDS, min_size=1, max_size=9)


@st.composite
def jobs(draw: st.DrawFn) -> list[Job]:
    """Jobs of up to four stages; each may wait for any of those before it."""
    made: list[Job] = []
    for _ in range(draw(st.integers(1, 3))):
        stages = [
            Stage(
                tasks=[Task(run=run) for run in draw(TASKS)],
                parents=draw(st.lists(st.sampled_from(range(i)), unique=True)) if i else [],
                delay=draw(st.floats(0, 2)),
                name=f"{len(made)}.{i}",
            )
            for i in range(draw(st.integers(1, 4)))
        ]
        made.append(Job(stages=stages, pause=draw(st.floats(0, 3))))
    return made


def critical_path(graph: stage_graph.Graph) -> float:
    """Return the seconds of the longest chain of nodes, each with its longest task."""
    ends: list[float] = []
    for node in graph.nodes:
        begun = max((ends[place] for place in node.after), default=0.0)
        ends.append(begun + node.lag + float(node.work.max()) + node.tail)
    return max(ends) + graph.tail


@settings(deadline=None, max_examples=30)
@given(jobs(), st.integers(1, 4), st.integers(1, 9))
def test_never_faster_than_the_critical_path_nor_than_the_work(
    made: list[Job], workers: int, count: int
) -> None:
    log = build(made, executors=workers)
    graph = stage_graph.build(log, log.begin, log.end, workers=workers, cores=1)
    seconds = makespan(graph, count, 1)
    assert seconds >= critical_path(graph) - 1e-6
    assert seconds >= sum(node.work.sum() for node in graph.nodes) / count - 1e-6


@settings(deadline=None, max_examples=30)
@given(st.lists(TASKS, min_size=1, max_size=5), st.integers(1, 4), st.floats(0, 3))
def test_on_the_measured_workers_it_gives_the_measured_time(
    stages: list[list[float]], workers: int, pause: float
) -> None:
    made = [
        Job(stages=[Stage(tasks=[Task(run=run) for run in runs], name=str(i))], pause=pause)
        for i, runs in enumerate(stages)
    ]
    log = build(made, executors=workers)
    found = whatif(log, at=[workers], workers=workers)
    assert found.replayed == pytest.approx(found.measured, rel=0.02)
    assert found.points[0].seconds == found.replayed


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), SECONDS, st.integers(1, 4))
def test_equal_independent_tasks_never_get_slower_with_workers(
    tasks: int, seconds: float, workers: int
) -> None:
    log = build([Job(stages=[Stage(tasks=even(tasks, run=seconds))])], executors=workers)
    found = whatif(log, at=range(1, 12), workers=workers)
    expected = [seconds * math.ceil(tasks / count) for count in range(1, 12)]
    assert [p.seconds for p in found.points] == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert all(a >= b - 1e-4 for a, b in zip(times(found), times(found)[1:], strict=False))
