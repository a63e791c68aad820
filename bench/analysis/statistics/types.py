"""What the statistics return: estimates, trends and effects."""

from __future__ import annotations

import msgspec


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """An estimate with its confidence interval; ``low``, ``high`` and ``level`` are None where
    there are too few runs for one. ``level`` is the level attained (0..1).
    """

    mid: float
    low: float | None = None
    high: float | None = None
    level: float | None = None
    method: str
    n: int
    note: str = ""


class Trend(msgspec.Struct, frozen=True, kw_only=True):
    """Whether values rise or fall with their order: ``p`` of the test, ``change`` from the first to
    the last as a share (0.1 = 10 % more), ``n`` values; ``scope`` is an environment or a cell.
    """

    scope: str
    p: float
    change: float
    found: bool
    n: int
    method: str


class Noise(msgspec.Struct, frozen=True, kw_only=True):
    """Standard deviation of log values from run to run, and of how many runs; 0 is a guess."""

    sd: float
    runs: int


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """The smallest ``change`` for the worse (0.1: 10 % more) that so many ``repeats`` of two cells
    detect with ``power`` at level ``alpha``.
    """

    change: float
    repeats: int
    alpha: float
    power: float
    noise: Noise
    method: str
