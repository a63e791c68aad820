"""How often a study repeats its cells, and in which order: the keys ``repeats`` and ``order``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from bench.records.study import LEAST_BLOCKS, Order
from bench.study import values
from bench.study.table import Table
from bench.text import quote
from bench.units import MOST

BY_WIDTH = "{ width = 0.05, at_most = 20 }"
REPEATS = 5
AT_MOST = 20


@dataclass(frozen=True)
class Repeats:
    """Runs of each case: so many, or at most so many until every interval is within ``width``."""

    most: int
    width: float | None = None


def repetition(top: Table) -> tuple[Order, Repeats]:
    """Return the keys ``order`` and ``repeats`` of a study; A B B A pairs are never left half."""
    order: Order = top.get("order", _order, "blocks")
    pairs = order == "abba"
    runs = _repeats(top, REPEATS + pairs)
    if pairs and runs.most % 2:
        key = "repeats" if runs.width is None else "repeats.at_most"
        what = f'{runs.most} leaves half a pair; an even number is allowed with order = "abba"'
        raise top.wrong(key, what)
    return order, runs


def _order(value: object) -> Order:
    for choice in get_args(Order):
        if value == choice:
            return choice  # type: ignore[no-any-return]
    words = ", ".join(quote(choice) for choice in get_args(Order))
    raise ValueError(f"{quote(value)} is not allowed; one of {words} is")


def _repeats(top: Table, default: int) -> Repeats:
    if not isinstance(top.data.get("repeats"), dict):
        return Repeats(top.get("repeats", _count, default))
    table = top.table("repeats")
    table.only(("width", "at_most"))
    width = table.need("width", _width)
    return Repeats(table.get("at_most", values.whole(LEAST_BLOCKS), AT_MOST), width)


def _count(value: object) -> int:
    """Take a number of runs."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST:
        raise ValueError(
            f"{quote(value)} is not allowed; a whole number from 1 on is, or {BY_WIDTH}"
        )
    return value


def _width(value: object) -> float:
    """Take the full width of an interval as a share of its middle."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not good or not 0 < value <= 1:  # type: ignore[operator]
        raise ValueError(
            f"{quote(value)} is not allowed; the interval's width (high end - low end) as a share "
            "of its middle is, above 0 up to 1: 0.05 is 5 %"
        )
    return float(value)  # type: ignore[arg-type]
