"""Numbers in words, as the page, Markdown and the terminal write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.analysis.comparison.types import Verdict
from bench.analysis.runs.metrics import MetricRule
from bench.analysis.statistics.types import Interval
from bench.records.values import Scalar
from bench.text import plural
from bench.units import format_duration

ABSENT = "–"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with ``digits`` significant digits, without an exponent where readable."""
    if value is None:
        return ABSENT
    text = f"{value:.{digits}g}"
    if "e" in text and 1e-4 <= abs(value) < 1e7:
        text = f"{value:.0f}"
    return text


def seconds(value: float | None) -> str:
    """Return seconds with their unit: "12.3 s"; what is below a millisecond is said to be so."""
    if value is not None and 0 < abs(value) < 1e-3:
        return "< 1 ms"
    return ABSENT if value is None else f"{number(value)} s"


def amount(value: float | None, unit: str) -> str:
    """Return a number with its unit; seconds as everywhere."""
    if unit == "s":
        return seconds(value)
    return number(value) + (f" {unit}" if unit and value is not None else "")


def sampling_rate(sampling: float) -> str:
    """Return the seconds from one sample to the next in words: "a sample every 200 ms"."""
    return f"a sample every {format_duration(sampling)}"


def percent(value: float | None, digits: int = 2) -> str:
    """Return a share (0..1) in percent: "65 %"."""
    if value is None:
        return ABSENT
    return f"{number(value * 100, max(digits, 3) if abs(value) >= 0.995 else digits)} %"


def format_interval(interval: Interval | None, unit: str = "") -> str:
    """Return an interval's ends: "1.2 to 1.4 s", or that there is none."""
    if interval is None or interval.low is None or interval.high is None:
        return "no interval"
    digits = _digits(interval)
    tail = f" {unit}" if unit else ""
    return f"{number(interval.low, digits)} to {number(interval.high, digits)}{tail}"


def format_estimate(interval: Interval | None, unit: str = "") -> str:
    """Return an interval's middle, with as many digits as its width deserves."""
    if interval is None:
        return ABSENT
    tail = f" {unit}" if unit else ""
    return number(interval.mid, _digits(interval)) + tail


def _digits(interval: Interval) -> int:
    """Return significant digits: three, four where the interval is narrower than 1 %."""
    if interval.low is None or interval.high is None or interval.mid == 0:
        return 3
    return 4 if (interval.high - interval.low) / interval.mid < 0.01 else 3


def workers(count: int) -> str:
    """Return "1 worker", "2 workers"."""
    return plural(count, "worker")


def factors(values: Mapping[str, Scalar]) -> str:
    """Return factors as "path = value, ..."."""
    return ", ".join(f"{path} = {value}" for path, value in values.items())


def cell_label(label: str, count: int) -> str:
    """Return a cell in words: "spark, 2 workers"."""
    return f"{label}, {workers(count)}"


def verdict_label(verdict: Verdict) -> str:
    """Return the verdict in one word or a few."""
    if verdict.comparable and verdict.accepted:
        return "same work as accepted"
    return {True: "same work", False: "not comparable", None: "not proven"}[verdict.comparable]


def accepted(names: Sequence[str]) -> str:
    """Return what the reader accepted, to follow a statement; nothing where it is nothing."""
    return f"; accepted by the reader: {', '.join(names)}" if names else ""


def level(interval: Interval | None, unit: str = "") -> str:
    """Return "95 % interval 1.2 to 1.4", or why there is none."""
    if interval is None or interval.level is None:
        return "one run only, no interval"
    return f"{percent(interval.level)} interval {format_interval(interval, unit)}"


def times_as_fast(speed: Interval, other: object) -> str:
    """Return "1.31 times as fast as 1 (95 % interval 1.21 to 1.39)"."""
    return f"{format_estimate(speed)} times as fast as {other} ({level(speed)})"


def slower(speed: Interval, other: object) -> str:
    """Return a speed below 1 as "22 % slower than 1 (95 % interval 9.5 to 35 %)"."""
    return f"{percent(1 / speed.mid - 1)} slower than {other} ({_inverse(speed)})"


def beside(gain: Interval, other: object, metric: MetricRule) -> str:
    """Return how a number compares: "have 1.3 times the throughput of 1 (...; higher is better)".

    ``gain`` above 1 is better, whatever the metric's direction.
    """
    if metric.direction == "higher":
        what = f"{format_estimate(gain)} times the {metric.name} of {other} ({level(gain)}"
    elif gain.mid >= 1:
        ends = _inverse(gain, less=True)
        what = f"{percent(1 - 1 / gain.mid)} lower {metric.name} than {other} ({ends}"
    else:
        what = f"{percent(1 / gain.mid - 1)} higher {metric.name} than {other} ({_inverse(gain)}"
    return f"{what}; {metric.direction} is better)"


def _inverse(gain: Interval, *, less: bool = False) -> str:
    """Return the interval of 1 / gain - 1 (of 1 - 1 / gain) in percent."""
    if gain.low is None or gain.high is None:
        return level(gain)
    low, high = 1 / gain.high - 1, 1 / gain.low - 1
    if less:
        low, high = -high, -low
    return f"{percent(gain.level)} interval {number(100 * low, 2)} to {percent(high)}"
