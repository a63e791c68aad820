"""What each added worker is lost to: which runs represent a point, and what is reported."""

from __future__ import annotations

import pytest

from bench.analysis.attribution.attribution import attribute
from bench.analysis.attribution.losses import losses
from bench.analysis.runs.grouping import select
from bench.analysis.runs.representatives import of_cells
from bench.records.results import Run
from bench.records.spark_log import SparkLog
from bench.report import figures
from bench.report.sections.attribution import sentences
from tests.analysis import factory
from tests.analysis.factory import Maker, analysis_of, case, session
from tests.eventlogs import Job, Stage, build, even

CASES = [case(workers=1), case(workers=2)]


def campaign() -> list[Run]:
    """Three runs at 1 worker and three at 2; the second of each is the middle one."""
    make = Maker()
    return [
        make.run(CASES[workers - 1], seconds, repeat=repeat)
        for workers, times in ((1, (14.0, 12.0, 10.0)), (2, (7.0, 8.0, 9.0)))
        for repeat, seconds in enumerate(times)
    ]


def log(workers: int) -> SparkLog:
    """Eight seconds of tasks and a driver that takes two seconds more with each worker."""
    half = [Stage(tasks=even(4, run=1.0))]
    return build([Job(stages=half), Job(stages=half, pause=2.0 * workers)], executors=workers)


def test_the_run_in_the_middle_stands_for_its_cell() -> None:
    runs = campaign()
    chosen = of_cells(select(factory.CASES, runs).lines)
    assert [run.run for run, _ in chosen] == [runs[1].run, runs[4].run]
    assert [one.workers for _, one in chosen] == [1, 1]


def test_a_gap_is_split_among_its_causes_and_told() -> None:
    runs = campaign()
    logs = {runs[1].run: log(1), runs[4].run: log(2)}
    found = {
        run: attribute(one, one.begin, one.end, workers)
        for workers, (run, one) in enumerate(logs.items(), 1)
    }
    seen = analysis_of([session(CASES)], [], runs, attributions=found)
    (one,) = seen.attribution
    assert [point.workers for point in one.points] == [1, 2]
    first, second = one.points
    assert first.gap == ()
    ideal = first.attribution.wall / 2
    beyond = second.attribution.wall - ideal
    assert sum(part.seconds for part in second.gap) == pytest.approx(beyond)
    assert second.gap[0].name == "driver"
    said = sentences(seen.attribution)
    assert said[0].endswith("1 worker: 10 s went to compute 8 s, driver 2 s.")
    assert said[1].endswith("2 workers: 8 s, ideal 5 s; the 3 s between: driver +3 s.")
    assert "losses" in [one.name for one in figures.draw(seen)]


def test_without_logs_nothing_is_said() -> None:
    lines = select(factory.CASES, campaign()).lines
    seen = analysis_of([session(CASES)], [], campaign())
    assert seen.attribution == losses(lines, {}) == ()
    assert sentences(seen.attribution) == []
    assert "losses" not in [one.name for one in figures.draw(seen)]
