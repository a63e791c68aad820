"""TensorFlow ranks: the parts that their reports name, and a note on what they leave out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.attribution.attribution import Rank, attribute_tensorflow
from bench.records.results import StageTime
from tests.analysis.attributed import adds_up, seconds


def rank(number: int, wall: float, train_cpu: float | None, **more: Any) -> Rank:
    stages = (
        StageTime(name="source", number=0, wall=2.0, driver_cpu=1.5),
        StageTime(name="train", number=0, wall=10.0, driver_cpu=train_cpu),
    )
    return Rank(rank=number, wall=wall, stages=stages, **more)


def test_ranks_that_do_not_tell_their_collectives() -> None:
    found = attribute_tensorflow([rank(0, 13.0, 7.0), rank(1, 12.5, 9.0)], launch=4.0)
    assert seconds(found) == pytest.approx(
        {
            "compute": 8.0,
            "input": 1.5,
            "input wait": 0.5,
            "start-up": 4.0,
            "between stages": 0.75,
            "collective wait and contention": 2.0,
            "idle slots": 0.25,
        }
    )
    assert any("cannot be told apart" in note for note in found.notes)
    adds_up(found, 17.0)


def test_ranks_that_tell_their_collectives() -> None:
    found = attribute_tensorflow(
        [rank(0, 12.0, 7.0, collective=2.0), rank(1, 12.0, 9.5, collective=2.0)]
    )
    assert found.notes == ()
    assert seconds(found)["collective wait"] == pytest.approx(1.25)
    assert seconds(found)["contention"] == pytest.approx(0.5)
    adds_up(found, 12.0)


def test_the_cpu_of_a_collective_is_no_waiting() -> None:
    busy = [rank(n, 12.0, 7.0, collective=2.0, collective_cpu=1.5) for n in range(2)]
    found = attribute_tensorflow(busy)
    assert seconds(found)["collective wait"] == pytest.approx(0.5)
    assert seconds(found)["contention"] == pytest.approx(2.5)


def test_one_rank_waits_for_no_other() -> None:
    found = attribute_tensorflow([rank(0, 12.0, 9.0)])
    assert seconds(found) == pytest.approx(
        {"compute": 9.0, "input": 1.5, "input wait": 0.5, "contention": 1.0}
    )
    unknown = attribute_tensorflow([rank(0, 12.0, None)])
    assert seconds(unknown) == pytest.approx({"input": 1.5, "input wait": 0.5, "not known": 10.0})
    over = attribute_tensorflow([rank(0, 11.0, 12.0)])
    assert any("cut" in note for note in over.notes)
    adds_up(over, 11.0)


@settings(max_examples=100, deadline=None)
@given(
    walls=st.lists(st.floats(0.01, 50), min_size=1, max_size=4),
    cpu=st.none() | st.floats(0, 50),
    cores=st.integers(1, 4),
    collective=st.none() | st.floats(0, 50),
    collective_cpu=st.floats(0, 50),
)
def test_parts_of_ranks_always_add_up(
    walls: list[float],
    cpu: float | None,
    cores: int,
    collective: float | None,
    collective_cpu: float,
) -> None:
    told = {"collective": collective, "collective_cpu": collective_cpu}
    ranks = [rank(n, wall, cpu, **told) for n, wall in enumerate(walls)]
    adds_up(attribute_tensorflow(ranks, cores=cores), max(walls))


def test_no_ranks_or_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="0 ranks"):
        attribute_tensorflow([])
    with pytest.raises(ValueError, match="more than 0 is needed"):
        attribute_tensorflow([Rank(rank=0, wall=0.0, stages=())])
