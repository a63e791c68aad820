"""What a machine withheld from a run, from samples with a known truth."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.run_files import contention


def columns(rows: list[tuple[float, str, dict[str, float]]]) -> dict[str, list[object]]:
    """Return rows of (t, scope, rates) as columns; what a row does not say is None."""
    names = ("cpu_user", "cpu_system", "cpu_steal", "cpu_others", "throttled")
    found: dict[str, list[object]] = {
        "t": [row[0] for row in rows],
        "scope": [row[1] for row in rows],
    }
    return found | {name: [row[2].get(name) for row in rows] for name in names}


HOST = {"cpu_user": 1.0, "cpu_system": 0.5, "cpu_steal": 0.5, "cpu_others": 0.25}
QUIET = {"cpu_user": 1.0, "cpu_system": 0.0, "cpu_steal": 0.0, "cpu_others": 0.0}
FREE = {"cpu_user": 0.9, "cpu_system": 0.0, "throttled": 0.0}
HELD = {"cpu_user": 0.5, "cpu_system": 0.0, "throttled": 0.5}


def test_shares_are_of_the_cpu_time_wanted_and_weigh_time() -> None:
    found = contention.measure(columns([(1.0, "host", HOST), (4.0, "host", QUIET)]))
    assert found == pytest.approx({"steal": 0.5 / (2.0 + 3.0), "others": 0.25 / 4})


def test_of_several_machines_the_one_that_was_hit_most_counts() -> None:
    rows = [(1.0, "host:driver", QUIET), (1.0, "host:worker-1", HOST), (1.0, "worker-1", FREE)]
    assert contention.measure(columns(rows)) == pytest.approx(
        {"steal": 0.25, "others": 0.25, "throttled": 0.0}
    )


@pytest.mark.parametrize("interval", [0.2, 1.0, 5.0])
def test_the_samples_say_their_times_whatever_their_rate(interval: float) -> None:
    rows: list[tuple[float, str, dict[str, float]]] = [(0.0, "host", {}), (0.0, "driver", {})]
    count = round(30 / interval)
    for i in range(1, count + 1):  # ten seconds of the one, twenty of the other
        early = i * interval <= 10.0
        rows += [(i * interval, "host", HOST if early else QUIET)]
        rows += [(i * interval, "driver", HELD if early else FREE)]
    rows += [(30.05, "host", QUIET), (30.05, "driver", FREE)]  # the end, far from a whole interval
    found = contention.measure(columns(rows))
    late = 20.05
    assert found == pytest.approx(
        {
            "steal": 5.0 / (10 * 2.0 + late * 1.0),
            "others": 2.5 / 30.05,
            "throttled": 5.0 / (10 * 1.0 + late * 0.9),
        }
    )


def test_the_scope_that_was_hit_most_counts_unless_it_asked_for_it() -> None:
    rows = columns([(1.0, "driver", FREE), (1.0, "worker-0", FREE), (1.0, "worker-1", HELD)])
    assert contention.measure(rows) == pytest.approx({"throttled": 0.5})
    assert contention.measure(rows, ["worker"]) == {"throttled": 0.0}
    assert contention.measure(rows, ["worker", "driver"]) == {}


def test_what_is_not_sampled_is_absent() -> None:
    bare = columns([(1.0, "host", {"cpu_user": 1.0, "cpu_system": 0.0}), (1.0, "driver", {})])
    assert contention.measure(bare) == {}
    idle = columns([(1.0, "host", dict.fromkeys(QUIET, 0.0))])
    assert contention.measure(idle) == {"others": 0.0}
    assert contention.measure({"t": [1.0], "scope": ["host"]}) == {}


def test_only_the_considerable_is_marked_and_not_twice() -> None:
    assert contention.events({"steal": 0.02, "throttled": 0.0, "others": 3.0}) == []
    assert contention.events({}) == []
    steal, throttled = contention.events({"steal": 0.021, "throttled": 0.5})
    assert (steal.kind, steal.text) == (
        "steal",
        "the hypervisor withheld 2.1% of the CPU time that the run wanted",
    )
    assert throttled.kind == "throttled"
    assert contention.events({"throttled": 0.5}, ["throttled"]) == []


def test_a_file_that_is_missing_or_torn_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "samples.parquet"
    assert contention.read(path) == {}
    path.write_bytes(b"PAR1 torn")
    assert contention.read(path) == {}
    pq.write_table(pa.table(columns([(1.0, "host", HOST)])), path)
    assert contention.read(path) == pytest.approx({"steal": 0.25, "others": 0.25})
