"""A page of a study some of whose runs are of an earlier state of it."""

from __future__ import annotations

from bench.report import page as html
from tests.analysis.factory import analysis_of, study


def test_runs_of_an_earlier_study_stand_beside_those_of_this_one() -> None:
    sessions, machines, runs = study()
    keys = sorted({run.cell.key for run in runs})
    some = set(keys[: len(keys) // 2])
    found = analysis_of(sessions, machines, runs, planned=some)
    assert {row.cell is None for row in found.runs} == {True, False}
    page = html.render(found)
    assert all(row.run in page for row in found.runs)
