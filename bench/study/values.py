"""Allowed values of a study: each function converts one TOML value or raises ValueError.

The message has the value and what is allowed; the table adds the file and the key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from bench.text import quote
from bench.units import MOST, format_duration, parse_duration, parse_memory

T = TypeVar("T")
Convert = Callable[[object], T]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


def whole(least: int) -> Convert[int]:
    """Return a converter for whole numbers of at least ``least``."""

    def convert(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MOST:
            raise ValueError(f"{quote(value)} is not allowed; a whole number from {least} on is")
        return value

    return convert


def seed(value: object) -> int:
    """Take a whole number of either sign."""
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MOST:
        raise ValueError(f"{quote(value)} is not allowed; a whole number is")
    return value


def positive(value: object) -> float:
    """Take a number above 0."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not good or not 0 < value <= MOST:  # type: ignore[operator]
        raise ValueError(f"{quote(value)} is not allowed; a number above 0 is")
    return float(value)  # type: ignore[arg-type]


def flag(value: object) -> bool:
    """Take true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{quote(value)} is not allowed; true or false is")
    return value


def text(value: object) -> str:
    """Take text of one line that is not blank."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError(f"{quote(value)} is not allowed; one line of text is")
    return value


def name(value: object) -> str:
    """Take a name: letters, digits, dot, underscore and hyphen."""
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise ValueError(
            f"{quote(value)} is not allowed; a name of letters, digits, '.', '_' and '-' is"
        )
    return value


def setting(value: object) -> str:
    """Take an engine's setting as the engine's own text: true, 4, 0.6 or "64m"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (str, int, float)):
        raise ValueError(f"{quote(value)} is not allowed; text, a number or true or false is")
    return str(value)


def one_of(*choices: str) -> Convert[str]:
    """Return a converter for the given words."""

    def convert(value: object) -> str:
        if value not in choices:
            words = " or ".join(quote(choice) for choice in choices)
            raise ValueError(f"{quote(value)} is not allowed; {words} is")
        return str(value)

    return convert


def above_zero(value: object) -> float:
    """Take a duration above 0, in seconds."""
    seconds = parse_duration(value)
    if seconds == 0:
        raise ValueError(f"{quote(value)} is not allowed; a duration above 0 is")
    return seconds


def duration_within(least: float, most: float) -> Convert[float]:
    """Return a converter for durations from ``least`` to ``most`` seconds."""

    def convert(value: object) -> float:
        seconds = parse_duration(value)
        if not least <= seconds <= most:
            ends = f"{format_duration(least)} to {format_duration(most)}"
            raise ValueError(f"{quote(value)} is not allowed; a duration from {ends} is")
        return seconds

    return convert


duration: Convert[float] = parse_duration
memory: Convert[int] = parse_memory


def several(convert: Convert[T], value: object) -> tuple[T, ...]:
    """Take one value or a list of different values (a factor)."""
    given: Sequence[object] = value if isinstance(value, list) else [value]
    if not given:
        raise ValueError("[] is not allowed; one value or a list of values is")
    taken = tuple(convert(entry) for entry in given)
    for position, entry in enumerate(taken):
        if entry in taken[:position]:
            raise ValueError(
                f"{quote(given[position])} is listed twice; each value is allowed once"
            )
    return taken
