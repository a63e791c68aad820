"""Every unit in one table: memory in bytes, durations in seconds, as people write them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction

MEMORY: Mapping[str, int] = {
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    # The JVM's letters are binary, in either case.
    "k": 1 << 10,
    "K": 1 << 10,
    "m": 1 << 20,
    "M": 1 << 20,
    "g": 1 << 30,
    "G": 1 << 30,
    "t": 1 << 40,
    "T": 1 << 40,
}

DURATION: Mapping[str, Fraction] = {
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "sec": Fraction(1),
    "second": Fraction(1),
    "seconds": Fraction(1),
    "min": Fraction(60),
    "minute": Fraction(60),
    "minutes": Fraction(60),
    "h": Fraction(3600),
    "hour": Fraction(3600),
    "hours": Fraction(3600),
    "d": Fraction(86400),
    "day": Fraction(86400),
    "days": Fraction(86400),
}

MEMORY_ALLOWED = 'a number with B, KiB, MiB, GiB, TiB, kB, MB, GB, TB or k, m, g, t: "2 GiB", "2g"'
DURATION_ALLOWED = 'a number with ms, s, min, h or d: "90 s", "30 min", "1 h 30 min"'
MOST = 2**63 - 1  # what a record's whole number can hold

_NUMBER = r"[0-9]{1,18}(?:\.[0-9]{1,18})?"
_PART = re.compile(rf"({_NUMBER}) ?([A-Za-z]+)", re.ASCII)
_PARTS = re.compile(rf"{_NUMBER} ?[A-Za-z]+(?: {_NUMBER} ?[A-Za-z]+)*", re.ASCII)
_MEMORY_SHOWN = ("TiB", "GiB", "MiB", "KiB", "B")


class UnitError(ValueError):
    """A quantity that cannot be read; the message says the value and what is allowed."""


def parse_memory(text: object) -> int:
    """Return bytes of "2 GiB", "2 GB" (10^9), "2g" or "512m" (the JVM's, binary)."""
    match = _PART.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None or match[2] not in MEMORY:
        raise UnitError(f"{_shown(text)} is not an amount of memory; {MEMORY_ALLOWED} is allowed")
    size = Fraction(match[1]) * MEMORY[match[2]]
    if size.denominator != 1:
        raise UnitError(
            f"{_shown(text)} is not a whole number of bytes; {MEMORY_ALLOWED} is allowed"
        )
    if not 0 < size <= MOST:
        raise UnitError(f"{_shown(text)} is out of range; more than 0 and at most 8 EiB is allowed")
    return int(size)


def parse_duration(text: object) -> float:
    """Return seconds of "90 s", "30 min", "1.5h" or "1 h 30 min"; 0 is allowed, signs are not."""
    whole = text.strip() if isinstance(text, str) else ""
    parts = _PART.findall(whole) if _PARTS.fullmatch(whole) else []
    sizes = [DURATION.get(unit) for _, unit in parts]
    present = [size for size in sizes if size is not None]
    if not parts or len(present) != len(sizes):
        raise UnitError(f"{_shown(text)} is not a duration; {DURATION_ALLOWED} is allowed")
    if any(later >= earlier for earlier, later in zip(present, present[1:], strict=False)):
        raise UnitError(f"{_shown(text)} is out of order; write the largest unit first, each once")
    return float(
        sum(Fraction(number) * size for (number, _), size in zip(parts, present, strict=True))
    )


def format_moment(moment: datetime) -> str:
    """Return a time in UTC for people: "2026-01-02 03:04:05 UTC"."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def format_memory(size: int) -> str:
    """Return bytes for people: "2 GiB", "1.5 GiB"; binary units, at most two decimals."""
    if size < 0:
        raise UnitError(f"{size} bytes; memory is not negative")
    for unit in _MEMORY_SHOWN:
        value = size / MEMORY[unit]
        if value >= 1 or unit == "B":
            return f"{_trimmed(value, 2)} {unit}"
    raise AssertionError("the last unit is B")


def format_duration(seconds: float) -> str:
    """Return seconds for people: "250 ms", "12.3 s", "12 min 30 s", "1 h 30 min", "2 d 3 h"."""
    if not 0 <= seconds < math.inf:
        raise UnitError(f"{seconds} seconds; a duration is finite and not negative")
    if seconds == 0:
        return "0 s"
    if seconds < 0.9995:
        return f"{_trimmed(seconds * 1000, 2)} ms"
    if seconds < 59.95:
        return f"{_trimmed(seconds, 2 if seconds < 10 else 1)} s"
    if round(seconds) < 3600:
        return _pair(round(seconds), 60, "min", "s")
    if round(seconds / 60) < 24 * 60:
        return _pair(round(seconds / 60), 60, "h", "min")
    return _pair(round(seconds / 3600), 24, "d", "h")


def _pair(count: int, base: int, large: str, small: str) -> str:
    many, rest = divmod(count, base)
    return f"{many} {large} {rest} {small}" if rest else f"{many} {large}"


def _trimmed(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
