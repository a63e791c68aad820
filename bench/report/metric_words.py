"""Metrics in words: units, directions, and how good one side is beside another."""

from __future__ import annotations

from bench.analysis.runs.metrics import MetricRule
from bench.analysis.statistics.interval import decided, reciprocal
from bench.analysis.statistics.types import Interval
from bench.report.format import (
    ABSENT,
    format_estimate,
    level,
    number,
    percent,
    seconds,
    slower,
    times_as_fast,
)


def value(amount: float | None, unit: str) -> str:
    """Return a number with its unit: "12.3 rows/s"; seconds as ``seconds`` writes them."""
    if unit == "s":
        return seconds(amount)
    return ABSENT if amount is None else f"{number(amount)} {unit}".rstrip()


def axis(metric: MetricRule) -> str:
    """Return the label of a metric's axis: "throughput (rows/s)"."""
    if metric.is_time:
        return "time of the work (s)"
    return f"{metric.name} ({metric.unit})" if metric.unit else metric.name


def direction(metric: MetricRule) -> str:
    """Return which direction of a metric is better, in words."""
    return f"{metric.direction} is better" if metric.direction else "direction not known"


def compared_with(gain: Interval, metric: MetricRule, other: object) -> str:
    """Return how good one side is beside another; ``gain`` is how many times as good.

    "1.31 times as fast as 1" and "22 % slower than 1" are said of time; of others "1.3 times the
    throughput of 1" and "12 % lower latency than 1", each with its interval and direction.
    """
    if metric.is_time:
        worse = gain.mid < 1 and decided(gain)
        return slower(gain, other) if worse else times_as_fast(gain, other)
    ratio = gain if metric.direction == "higher" else reciprocal(gain)
    if metric.direction == "higher" and (ratio.mid >= 1 or not decided(ratio)):
        return f"{multiple(ratio, metric)} of {other} ({level(ratio)}; {direction(metric)})"
    return f"{_change(ratio, metric)} than {other} ({_change_level(ratio)}; {direction(metric)})"


def multiple(ratio: Interval, metric: MetricRule) -> str:
    """Return "1.3 times the throughput"."""
    return f"{format_estimate(ratio)} times the {metric.name}"


def _change(ratio: Interval, metric: MetricRule) -> str:
    """Return "12 % lower latency"."""
    if ratio.mid == 1:
        return f"no other {metric.name}"
    word = "lower" if ratio.mid < 1 else "higher"
    return f"{percent(abs(ratio.mid - 1))} {word} {metric.name}"


def _change_level(ratio: Interval) -> str:
    """Return the interval of a change: "95 % interval 10 to 14 %", signed where it holds 0."""
    if ratio.low is None or ratio.high is None:
        return level(ratio)
    ends = [ratio.low - 1, ratio.high - 1]
    if decided(ratio):
        ends = sorted(abs(end) for end in ends)
    return f"{percent(ratio.level)} interval {number(100 * ends[0], 2)} to {percent(ends[1])}"
