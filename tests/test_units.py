"""Units: what people write, read and written back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.units import (
    DURATION,
    MEMORY,
    UnitError,
    format_duration,
    format_memory,
    parse_duration,
    parse_memory,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2 GiB", 2 << 30),
        ("2GiB", 2 << 30),
        ("2 GB", 2 * 10**9),
        ("2g", 2 << 30),
        ("2G", 2 << 30),
        ("512m", 512 << 20),
        ("1.5 GiB", 3 << 29),
        (" 1 TB ", 10**12),
        ("64 kB", 64_000),
        ("7 B", 7),
    ],
)
def test_memory_reads(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize(
    ("value", "start"),
    [
        (2, "2 is not an amount of memory"),
        ("2", '"2" is not an amount of memory'),
        ("2 gb", '"2 gb" is not an amount of memory'),
        ("-2 GiB", '"-2 GiB" is not an amount'),
        ("2  GiB", '"2  GiB" is not an amount'),
        ("2 GiB 1 MiB", '"2 GiB 1 MiB" is not an amount'),
        ("\u0662 GiB", '"\u0662 GiB" is not an amount'),
        ("inf GiB", '"inf GiB" is not an amount'),
        ("", '"" is not an amount'),
        (True, "true is not an amount"),
        ("0 GiB", '"0 GiB" is out of range'),
        ("9000000 TiB", '"9000000 TiB" is out of range'),
        ("0.3 B", '"0.3 B" is not a whole number of bytes'),
    ],
)
def test_memory_refuses(value: object, start: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_memory(value)
    assert str(caught.value).startswith(start)
    assert "allowed" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90 s", 90.0),
        ("30 min", 1800.0),
        ("8 h", 28800.0),
        ("1.5h", 5400.0),
        ("250 ms", 0.25),
        ("1 day", 86400.0),
        ("1 h 30 min", 5400.0),
        ("0 s", 0.0),
    ],
)
def test_duration_reads(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            30,
            "30 is not a duration; a number with ms, s, min, h or d: "
            '"90 s", "30 min", "1 h 30 min" is allowed',
        ),
        (
            "30",
            '"30" is not a duration; a number with ms, s, min, h or d: '
            '"90 s", "30 min", "1 h 30 min" is allowed',
        ),
        (
            "30 m",
            '"30 m" is not a duration; a number with ms, s, min, h or d: '
            '"90 s", "30 min", "1 h 30 min" is allowed',
        ),
        ("1 s 1 h", '"1 s 1 h" is out of order; write the largest unit first, each once'),
        ("1 h 1 hour", '"1 h 1 hour" is out of order; write the largest unit first, each once'),
    ],
)
def test_duration_refuses(value: object, message: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_duration(value)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.25, "250 ms"),
        (0.9999, "1 s"),
        (12.34, "12.3 s"),
        (59.97, "1 min"),
        (750, "12 min 30 s"),
        (3599.9, "1 h"),
        (5400, "1 h 30 min"),
        (183600, "2 d 3 h"),
    ],
)
def test_duration_for_people(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize("seconds", [-1.0, math.inf, math.nan])
def test_no_duration_is_not_written(seconds: float) -> None:
    with pytest.raises(UnitError, match="finite and not negative"):
        format_duration(seconds)


def test_memory_for_people() -> None:
    assert [format_memory(size) for size in (0, 1023, 2 << 30, 3 << 29, (1 << 20) - 1)] == [
        "0 B",
        "1023 B",
        "2 GiB",
        "1.5 GiB",
        "1024 KiB",
    ]
    with pytest.raises(UnitError):
        format_memory(-1)


@given(st.integers(1, 999), st.sampled_from(sorted(MEMORY)))
def test_memory_of_a_whole_number_of_units(number: int, unit: str) -> None:
    assert parse_memory(f"{number} {unit}") == number * MEMORY[unit]
    assert parse_memory(f"{number}{unit}") == number * MEMORY[unit]


@given(st.integers(1, 1023), st.sampled_from(["B", "KiB", "MiB", "GiB", "TiB"]))
def test_whole_memory_comes_back_exactly(number: int, unit: str) -> None:
    assert format_memory(number * MEMORY[unit]) == f"{number} {unit}"
    assert parse_memory(format_memory(number * MEMORY[unit])) == number * MEMORY[unit]


@given(st.integers(1, 1 << 10))
def test_small_memory_comes_back_exactly(size: int) -> None:
    assert parse_memory(format_memory(size)) == size


@given(st.floats(1e-3, 1e9))
def test_duration_comes_back_within_three_percent(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=0.03)


@given(st.integers(1, 59), st.sampled_from(sorted(DURATION)))
def test_duration_of_a_whole_number_of_units(number: int, unit: str) -> None:
    assert parse_duration(f"{number} {unit}") == float(number * DURATION[unit])
