"""Runs that stand out are marked, and stay in every figure."""

from __future__ import annotations

import numpy as np
import pytest

from bench.analysis.runs import doubts
from bench.analysis.runs.types import RunValue
from bench.analysis.statistics import interval, outliers
from bench.report.sections.runs import runs as table_of
from tests.analysis import factory
from tests.analysis.factory import Maker, analysis_of, case, session


def values(*seconds: float) -> list[RunValue]:
    return [RunValue(run=str(i), value=one) for i, one in enumerate(seconds)]


def test_the_modified_z_agrees_with_a_worked_example() -> None:
    # median 3, deviations 2 1 0 1 97, MAD 1: 0.6745 * 97 / 1
    assert outliers.modified_z([1, 2, 3, 4, 100])[-1] == pytest.approx(0.6745 * 97)
    # more than half are equal: MAD 0, mean deviation 5 / 5 = 1
    assert outliers.modified_z([3, 3, 3, 3, 8])[-1] == pytest.approx(5 / 1.253314)
    assert outliers.modified_z([3.0, 3.0, 3.0]) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("n", [5, 6, 7, 10, 15, 20, 40])
def test_plain_noise_is_marked_in_one_cell_of_twenty(n: int) -> None:
    rng = np.random.default_rng(n)
    logs = rng.standard_normal((20_000, n))
    away = np.abs(logs - np.median(logs, axis=1, keepdims=True))
    scores = 0.6745 * away / np.median(away, axis=1, keepdims=True)
    assert scores[0].tolist() == pytest.approx(np.abs(outliers.modified_z(logs[0].tolist())))
    assert (scores.max(axis=1) > outliers.limit(n)).mean() == pytest.approx(0.05, abs=0.007)


def test_outliers_on_either_side_are_marked_from_five_runs_on() -> None:
    assert [one.run for one in doubts.outliers(values(10, 10.1, 9.9, 10.05, 14))] == ["4"]
    assert [one.run for one in doubts.outliers(values(10, 10.1, 9.9, 10.05, 7))] == ["4"]
    assert doubts.outliers(values(10, 10.1, 9.9, 14)) == []
    assert doubts.outliers(values(10, 10.1, 9.9, 10.05, 10.2)) == []


def test_an_outlier_is_counted_all_the_same() -> None:
    make, one = Maker(), case()
    times = [10.0, 10.1, 9.9, 10.05, 14.0]
    runs = [make.run(one, seconds, i) for i, seconds in enumerate(times)]
    found = analysis_of([session([one])], [], runs)
    cell = found.scaling.points[0].cell
    assert [doubt.run for doubt in cell.doubts] == [runs[-1].run]
    assert cell.value == interval.estimate(times)
    assert [len(row.doubts) for row in found.runs] == [0, 0, 0, 0, 1]
    assert f"1 worker: outlier, run {runs[-1].run}: 1.39x the cell's median" in factory.printed(
        found
    )
    assert "outlier: 1.39x" in table_of(found.runs).csv()


@pytest.mark.parametrize(
    ("wall", "cpu", "marked"),
    [
        (15.0, 18.0, True),  # waited for the processor
        (15.0, 27.0, False),  # did more work
        (10.3, 18.0, False),  # nothing of note
        (7.0, 18.0, False),  # faster than the others
    ],
)
def test_wall_time_without_cpu_time_is_contention(wall: float, cpu: float, marked: bool) -> None:
    make, one = Maker(), case()
    usual = [(10.0, 18.0), (10.2, 18.4), (9.9, 17.8), (10.1, 18.1), (9.8, 17.7)]
    runs = [make.run(one, w, i, worker_cpu=c) for i, (w, c) in enumerate([*usual, (wall, cpu)])]
    found = doubts.cpu_starved(runs)
    assert [doubt.run for doubt in found] == ([runs[-1].run] if marked else [])
    assert all(doubt.kind == "contention" for doubt in found)
    assert doubts.cpu_starved(runs[2:]) == []  # four runs are too few


def test_runs_that_do_not_know_their_cpu_time_are_not_judged() -> None:
    make, one = Maker(), case()
    assert doubts.cpu_starved([make.run(one, 10.0 + i, i) for i in range(8)]) == []


def test_withheld_cpu_time_is_marked_but_not_a_quota_that_all_have() -> None:
    make, one = Maker(), case()
    stolen = make.run(one, 10.0, 0, contention={"steal": 0.25})
    assert [doubt.text for doubt in doubts.withheld([stolen])] == ["25% of its CPU time was stolen"]
    quota = [make.run(one, 10.0, i, contention={"throttled": 0.5}) for i in range(6)]
    assert doubts.withheld(quota) == []
    more = make.run(one, 10.0, 6, contention={"throttled": 0.7})
    assert [doubt.run for doubt in doubts.withheld([*quota, more])] == [more.run]


def test_wall_and_cpu_stand_side_by_side() -> None:
    make, one = Maker(), case()
    runs = [make.run(one, 10.0 + i, i, worker_cpu=20.0 + i) for i in range(3)]
    cell = analysis_of([session([one])], [], runs).scaling.points[0].cell
    assert (cell.wall, cell.worker_cpu) == (11.0, 21.0)
    assert "11 s / 21 s" in factory.printed(analysis_of([session([one])], [], runs))
    bare = analysis_of([session([one])], [], [make.run(one)]).scaling.points[0].cell
    assert (bare.wall, bare.worker_cpu) == (None, None)
