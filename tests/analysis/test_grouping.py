"""Runs are grouped once: curves have unique names, and one run stands for each cell."""

from __future__ import annotations

from bench.analysis.runs import representatives
from bench.analysis.runs.grouping import select
from tests.analysis import factory
from tests.analysis.factory import Maker, case, failed


def test_every_curve_has_a_name_of_its_own() -> None:
    make = Maker()
    params = [
        {"a": a, "b": b, "c": c, "d": d, "rows": 1}
        for a, b, c, d in [(1, 1, 1, 1), (2, 2, 2, 1), (2, 2, 2, 2), (2, 2, 2, 3)]
    ]
    runs = [make.run(case(params=one), 10.0) for one in params]
    labels = [line.label for line in select(factory.CASES, runs).lines]
    same = "spark-logreg, params.a = 2, params.b = 2, params.c = 2"
    assert sorted(labels) == sorted(
        [same, f"{same} (2)", f"{same} (3)", same.replace("= 2", "= 1")]
    )


def test_the_middle_run_stands_for_a_cell_and_the_largest_measured_count_for_a_curve() -> None:
    make, cases = Maker(), [case(workers=count) for count in (1, 2, 4)]
    runs = [make.run(cases[0], 9.0), *(make.run(cases[1], s, i) for i, s in enumerate((5, 7, 6)))]
    runs.append(failed(make.run(cases[2])))
    selection = select(factory.CASES, runs)
    assert representatives.of_curves(selection.lines) == [runs[3]]
    assert representatives.of_cells(selection.lines) == [(runs[0], cases[0]), (runs[3], cases[0])]


def test_without_a_case_a_run_is_drawn_but_not_attributed() -> None:
    runs = [Maker().run(case(), 10.0)]
    lines = select({}, runs).lines
    assert representatives.of_curves(lines) == runs
    assert representatives.of_cells(lines) == []
