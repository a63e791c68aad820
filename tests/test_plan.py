"""The plan: complete blocks in a seeded order, keys that say what a cell is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bench import environments
from bench.errors import StudyError
from bench.plan import Auto, Estimate, Fixed, matches
from bench.plan.progress import Index
from bench.records import identity
from bench.records.results import Run
from bench.records.study import (
    Case,
    Cell,
    Dataset,
    EnvironmentSpec,
    Order,
    Policy,
    Shape,
    Study,
)
from bench.settings import keyed
from tests.analysis import factory

CASE = Case(
    workload="w",
    use="w",
    engine="spark",
    environment="here",
    program="w",
    task="t/1",
    kind="local",
    workers=1,
    worker=Shape(),
    driver=Shape(),
    datasets={"train": Dataset(name="flights")},
    params={"tolerance": 1e-10},
    factors={"workers": 1},
)
PLACE = EnvironmentSpec(name="here", kind="local")


def study(
    *cases: Case,
    repeats: int = 3,
    seed: int = 7,
    order: Order = "blocks",
    width: float | None = None,
    places: tuple[EnvironmentSpec, ...] = (PLACE,),
) -> Study:
    return Study(
        name="s",
        title="s",
        environments=places,
        cases=cases,
        repeats=repeats,
        seed=seed,
        order=order,
        width=width,
    )


def sized(workers: int) -> Case:
    return msgspec.structs.replace(CASE, workers=workers, factors={"workers": workers})


def plan(made: Study, bundle: str = "b", model: str = "cpu", retry: Index | None = None) -> Fixed:
    return Fixed(resolved(made, bundle, model), retry=retry)


def auto(made: Study) -> Auto:
    return Auto(resolved(made))


def resolved(made: Study, bundle: str = "b", model: str = "cpu") -> Study:
    """Return the study with what the runner knows of its cases."""
    places = {one.name: one for one in made.environments}
    cases = tuple(
        msgspec.structs.replace(
            case,
            bundle=bundle,
            machines={"cpu": model},
            kind=places[case.environment].kind,
            settings=places[case.environment].keyed,
        )
        for case in made.cases
    )
    return msgspec.structs.replace(made, cases=cases)


def run_of(cell: Cell, status: str = "ok", seconds: float = 10.0) -> Run:
    run = factory.Maker().run(factory.case(), seconds)
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
    ("kind", "settings", "key", "series"),
    [
        ("local", {}, "5332c614ab27f815", "e1d2a3dae1b984cc"),
        ("fake", {"fail_workers": (2,), "capacity": 3}, "ba0babe7f9711f84", "5ee60d10477faff6"),
    ],
)
def test_the_keys_of_cells_that_were_run_once_stay(
    kind: str, settings: dict[str, object], key: str, series: str
) -> None:
    struct = msgspec.convert(settings, environments.kinds()[kind])
    spec = EnvironmentSpec(name="here", kind=kind, keyed=keyed(struct))
    (cell,) = plan(study(CASE, repeats=1, places=(spec,))).cells
    assert (cell.key[:16], cell.series[:16]) == (key, series)


THERE = EnvironmentSpec(name="there", kind="local", keyed={"spare": 1})


def test_environments_run_whole_or_mixed_in_every_block() -> None:
    cases = tuple(
        msgspec.structs.replace(sized(n), environment=place)
        for place in ("here", "there")
        for n in (1, 2, 3)
    )
    whole = plan(study(*cases, places=(PLACE, THERE))).cells
    assert [cell.environment for cell in whole] == ["here"] * 9 + ["there"] * 9
    mixed = plan(study(*cases, places=(PLACE, THERE), order="random")).cells
    assert {cell.key for cell in mixed} == {cell.key for cell in whole}
    for repeat in range(3):
        block = mixed[repeat * 6 : repeat * 6 + 6]
        assert {cell.repeat for cell in block} == {repeat}
        assert len({(cell.environment, cell.workers) for cell in block}) == 6
    assert [cell.environment for cell in mixed[:6]] != sorted(c.environment for c in mixed[:6])


def test_every_second_block_of_abba_is_the_one_before_it_reversed() -> None:
    made = plan(study(*(sized(n) for n in range(1, 7)), repeats=6, order="abba"))
    orders = [[cell.workers for cell in block] for block in made.plots[0]]
    assert orders[1::2] == [order[::-1] for order in orders[::2]]
    assert len({tuple(order) for order in orders[::2]}) == 3
    assert [block[0].repeat for block in made.plots[0]] == list(range(6))


def finish(made: Auto, times: Callable[[Cell], float]) -> Index:
    """Run the plan to its end; each cell takes as long as ``times`` says."""
    index = Index()
    while (cell := made.next(index)) is not None:
        index.add(run_of(cell, seconds=times(cell)))
    return index


def steady(cell: Cell) -> float:
    return 10.0 + 0.001 * (cell.repeat % 3)


def noisy(cell: Cell) -> float:
    return 10.0 * (1 + 0.2 * (cell.repeat % 3))


def test_repeats_by_width_stop_some_blocks_after_the_intervals_are_narrow() -> None:
    made = auto(study(sized(1), sized(2), repeats=20, width=0.05))
    assert len(made.planned(Index())) == 6  # three blocks before the first look
    index = finish(made, steady)
    assert len(made.planned(index)) == 12  # and three after it
    assert (made.remaining(index), made.wide(index), made.min_repeats) == ([], [], 6)


def test_repeats_by_width_end_at_the_limit_and_name_the_cells_that_are_wide() -> None:
    made = auto(study(sized(1), sized(2), repeats=8, width=0.05))
    index = finish(made, lambda cell: noisy(cell) if cell.workers == 2 else steady(cell))
    assert len(made.planned(index)) == 16
    (wide,) = made.wide(index)
    assert (wide.cell.workers, wide.runs) == (2, 8)
    assert wide.width is not None
    assert wide.width > 0.05
    assert wide.describe().startswith("w on here, 2 workers: width 0.")


def test_each_environment_has_as_many_blocks_as_it_needs() -> None:
    cases = (CASE, msgspec.structs.replace(CASE, environment="there"))
    made = auto(study(*cases, repeats=9, width=0.05, places=(PLACE, THERE)))
    index = finish(made, lambda cell: noisy(cell) if cell.environment == "here" else steady(cell))
    counts = Counter(cell.environment for cell in made.planned(index))
    assert counts == {"here": 9, "there": 6}


def test_repeats_by_width_keep_abba_pairs_whole() -> None:
    made = auto(study(sized(1), sized(2), repeats=20, width=0.05, order="abba"))
    assert len(made.planned(Index())) == 8
    assert (len(made.planned(finish(made, steady))), made.min_repeats) == (16, 8)


def test_what_was_decided_stays_decided_wherever_a_campaign_is_resumed() -> None:
    made = auto(study(sized(1), sized(2), repeats=9, width=0.3))
    whole = finish(made, noisy)
    runs = [run for cell in made.cells if (run := whole.run(cell)) is not None]
    for number in range(len(runs)):
        index = Index(runs[:number])
        assert made.next(index) == runs[number].cell
    assert made.next(Index(runs)) is None


def test_a_case_that_always_fails_is_not_repeated_to_the_limit() -> None:
    made, index = auto(study(sized(1), sized(2), repeats=20, width=0.05)), Index()
    while (cell := made.next(index)) is not None:
        status = "failed" if cell.workers == 2 else "ok"
        index.add(run_of(cell, status, seconds=steady(cell)))
    assert len(made.planned(index)) == 12
    assert made.wide(index) == []


@pytest.mark.parametrize(
    "change",
    [
        {"params": {"tolerance": 1e-9}},
        {"datasets": {"train": Dataset(name="synthetic")}},
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


def test_a_version_changes_the_key_and_the_curve_but_not_the_series() -> None:
    old = plan(study(CASE)).cells[0]
    new = plan(study(msgspec.structs.replace(CASE, versions={"spark": "4.1.4"}))).cells[0]
    assert (old.key != new.key, old.curve != new.curve) == (True, True)
    assert old.series == new.series


def test_worker_counts_and_repeats_share_their_curve() -> None:
    cells = plan(study(sized(1), sized(2))).cells
    assert len({cell.curve for cell in cells}) == 1
    assert len({cell.case for cell in cells}) == 2
    other = plan(study(CASE), bundle="c").cells[0]
    assert other.curve == cells[0].curve


def test_the_label_of_a_generated_dataset_is_in_no_key() -> None:
    def named(name: str) -> Case:
        data = Dataset(name=name, generator="rows", params={"rows": 5})
        return msgspec.structs.replace(CASE, datasets={"train": data})

    big, large = (plan(study(named(name))).cells[0] for name in ("big", "large"))
    assert (big.key, big.series, big.curve) == (large.key, large.series, large.curve)


def test_every_field_of_a_case_is_measured_or_not() -> None:
    fields = (*identity.MEASURED, *identity.NOT_MEASURED)
    assert sorted(fields) == sorted(Case.__struct_fields__)


@pytest.mark.parametrize(
    "change",
    [
        {"policy": Policy(timeout=1.0, retries=3, reuse=False, pause=1.0)},
        {"warmups": 1, "passes": 1},
        {"workload": "a label", "use": "../elsewhere/w", "factors": {}},
    ],
)
def test_what_does_not_change_the_work_keeps_the_key(change: dict[str, object]) -> None:
    old = plan(study(CASE)).cells[0]
    assert plan(study(msgspec.structs.replace(CASE, **change))).cells[0].key == old.key


def test_the_rate_of_the_samples_is_no_part_of_the_key() -> None:
    said = study(CASE)
    fast = msgspec.structs.replace(said, sampling=0.1)
    assert [cell.key for cell in plan(fast).cells] == [cell.key for cell in plan(said).cells]


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
    made = plan(study(msgspec.structs.replace(CASE, policy=Policy(retries=1)), repeats=1))
    cell = made.cells[0]
    index = Index([run_of(cell, "failed")])
    assert made.next(index) == cell
    index.add(run_of(cell, "timeout"))
    assert made.next(index) is None
    again = plan(
        study(msgspec.structs.replace(CASE, policy=Policy(retries=1)), repeats=1), retry=index
    )
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
