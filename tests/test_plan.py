"""The plan: complete blocks in a seeded order, keys that say what a cell is."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bench.errors import StudyError
from bench.model import Case, Cell, Dataset, EnvironmentSpec, Run, Shape, Study
from bench.plan import Estimate, Fixed, matches
from bench.store import Index
from tests.analysis import factory

CASE = Case(
    workload="w",
    use="w",
    engine="spark",
    environment="here",
    workers=1,
    worker=Shape(),
    driver=Shape(),
    dataset=Dataset(name="flights"),
    params={"tolerance": 1e-10},
    factors={"workers": 1},
)
PLACE = EnvironmentSpec(name="here", kind="local")


def study(*cases: Case, repeats: int = 3, seed: int = 7) -> Study:
    return Study(
        name="s", title="s", environments=(PLACE,), cases=cases, repeats=repeats, seed=seed
    )


def sized(workers: int) -> Case:
    return msgspec.structs.replace(CASE, workers=workers, factors={"workers": workers})


def plan(made: Study, bundle: str = "b", model: str = "cpu", retry: Index | None = None) -> Fixed:
    return Fixed(made, {"w": bundle}, {"here": {"cpu": model}}, retry=retry)


def run_of(cell: Cell, status: str = "ok") -> Run:
    run = factory.Maker().run(factory.case())
    return msgspec.structs.replace(run, cell=cell, status=status, session="s1")


def test_each_block_holds_every_case_once_in_an_order_of_its_own() -> None:
    made = plan(study(*(sized(n) for n in range(1, 9)), repeats=6))
    orders = []
    for repeat in range(6):
        block = made.cells[repeat * 8 : repeat * 8 + 8]
        assert {cell.repeat for cell in block} == {repeat}
        assert sorted(cell.workers for cell in block) == list(range(1, 9))
        orders.append(tuple(cell.workers for cell in block))
    assert len(set(orders)) > 1


def test_the_seed_decides_the_order_and_not_the_keys() -> None:
    cases = tuple(sized(n) for n in range(1, 9))
    one, two = plan(study(*cases, seed=1)), plan(study(*cases, seed=2))
    assert [cell.key for cell in one.cells] != [cell.key for cell in two.cells]
    assert {cell.key for cell in one.cells} == {cell.key for cell in two.cells}
    assert one.cells == plan(study(*cases, seed=1)).cells


@pytest.mark.parametrize(
    "change",
    [
        {"params": {"tolerance": 1e-9}},
        {"dataset": Dataset(name="synthetic")},
        {"conf": {"spark.locality.wait": "0"}},
        {"worker": Shape(cores=2)},
        {"driver": Shape(cores=2)},
        {"passes": 2},
        {"stages": "staged"},
        {"workers": 2},
    ],
)
def test_whatever_changes_the_work_changes_key_and_series(change: dict[str, object]) -> None:
    old = plan(study(CASE)).cells[0]
    new = plan(study(msgspec.structs.replace(CASE, **change))).cells[0]
    assert (old.key != new.key, old.series != new.series) == (True, True)


@pytest.mark.parametrize("change", [{"timeout": 1.0}, {"retries": 3}, {"reuse": False}])
def test_what_does_not_change_the_work_keeps_the_key(change: dict[str, object]) -> None:
    old = plan(study(CASE)).cells[0]
    assert plan(study(msgspec.structs.replace(CASE, **change))).cells[0].key == old.key


def test_bundle_and_repeat_are_in_the_key_but_not_in_the_series() -> None:
    first, second = plan(study(CASE, repeats=2)).cells
    other = plan(study(CASE), bundle="c").cells[0]
    assert len({first.key, second.key, other.key}) == 3
    assert first.series == second.series == other.series
    assert plan(study(CASE), model="other cpu").cells[0].series != first.series


def test_equal_cells_are_an_error_of_the_study() -> None:
    with pytest.raises(StudyError, match="two cells of the study are the same"):
        plan(study(CASE, msgspec.structs.replace(CASE, workload="label")))


def test_done_cells_are_not_planned_again() -> None:
    made = plan(study(CASE, repeats=3))
    index = Index([run_of(made.cells[1])])
    assert made.remaining(index) == [made.cells[0], made.cells[2]]
    assert made.next(index) == made.cells[0]
    index.add(run_of(made.cells[0]))
    index.add(run_of(made.cells[2], "skipped"))
    assert made.next(index, "s1") is None
    assert made.next(index, "s2") == made.cells[2]


def test_a_failed_cell_is_done_after_its_attempts_and_retry_gives_one_more() -> None:
    made = plan(study(msgspec.structs.replace(CASE, retries=1), repeats=1))
    cell = made.cells[0]
    index = Index([run_of(cell, "failed")])
    assert made.next(index) == cell
    index.add(run_of(cell, "timeout"))
    assert made.next(index) is None
    again = plan(study(msgspec.structs.replace(CASE, retries=1), repeats=1), retry=index)
    assert again.next(index) == cell
    index.add(run_of(cell, "failed"))
    assert again.next(index) is None


def test_where_takes_paths_and_their_last_parts() -> None:
    made = msgspec.structs.replace(plan(study(CASE)).cells[0], factors={"worker.memory": 1024})
    assert matches(made, {"memory": "1024", "workload": "w", "workers": "1"})
    assert matches(made, {"worker.memory": "1024"})
    assert not matches(made, {"memory": "1"})
    assert not matches(made, {"nothing": "1"})


def test_the_estimate_is_the_mean_of_the_same_case_else_of_all(tmp_path: Path) -> None:
    cells = plan(study(sized(1), sized(2), repeats=1)).cells
    one = next(cell for cell in cells if cell.workers == 1)
    assert Estimate().seconds(cells) is None
    phases = {"launch": 2.0, "work": 4.0, "queue": 100.0}
    runs = [msgspec.structs.replace(run_of(one), phases=phases)]
    assert Estimate(runs).seconds([one]) == 6.0
    assert Estimate(runs).seconds(cells) == 12.0
