"""Numbers and results in words: what page, Markdown and terminal have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from bench.analysis.attribution.attribution import Part
from bench.analysis.attribution.types import Losses, LossPoint
from bench.analysis.comparison.types import Ratio, Verdict
from bench.analysis.runs.types import Curve, CurvePoint, ProvisionTimes
from bench.analysis.statistics.types import Interval
from bench.analysis.study_types import StudyAnalysis
from bench.records.values import Scalar
from bench.text import plural
from bench.units import format_duration, format_memory, format_moment

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


def moment(value: datetime) -> str:
    """Return a time in UTC."""
    return format_moment(value)


def rate(sampling: float) -> str:
    """Return the seconds from one sample to the next in words: "a sample every 200 ms"."""
    return f"a sample every {format_duration(sampling)}"


def made(one: ProvisionTimes) -> str:
    """Return how long an environment's machines took to be made, in a sentence."""
    what = f"{one.kind} {'clone' if one.count == 1 else 'clones'}" if one.kind else "made"
    times = f"{seconds(one.median)} each (median), {seconds(one.longest)} at most"
    return f"{one.environment}, to provision: {plural(one.count, 'machine')}, {what}, {times}."


def percent(value: float | None, digits: int = 2) -> str:
    """Return a share (0..1) in percent: "65 %"."""
    if value is None:
        return ABSENT
    return f"{number(value * 100, max(digits, 3) if abs(value) >= 0.995 else digits)} %"


def memory(value: int) -> str:
    """Return bytes for people."""
    return format_memory(value)


def span(interval: Interval | None, unit: str = "") -> str:
    """Return an interval's ends: "1.2 to 1.4 s", or that there is none."""
    if interval is None or interval.low is None or interval.high is None:
        return "no interval"
    digits = _digits(interval)
    tail = f" {unit}" if unit else ""
    return f"{number(interval.low, digits)} to {number(interval.high, digits)}{tail}"


def middle(interval: Interval | None, unit: str = "") -> str:
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


def word(verdict: Verdict) -> str:
    """Return the verdict in one word or a few."""
    if verdict.comparable and verdict.accepted:
        return "same work as accepted"
    return {True: "same work", False: "not comparable", None: "not proven"}[verdict.comparable]


def headline(overview: StudyAnalysis) -> list[str]:
    """Return the answer in plain sentences: one a curve, and ratios of comparable curves."""
    broken = {v.left: v for v in overview.verdicts if v.scope == "within" and v.comparable is False}
    found = [_scaling(curve, broken.get(curve.id)) for curve in overview.curves]
    found += [_ratio(one) for one in overview.ratios]
    if not overview.runs:
        found = ["Nothing has been measured yet."]
    return found


def _scaling(curve: Curve, broken: Verdict | None) -> str:
    """Return one sentence on how a curve scales."""
    measured = [point for point in curve.points if point.seconds is not None]
    if not measured:
        return f"{curve.label}: no run gave a time."
    if broken is not None:
        return f"{curve.label}: its runs are not the same work, so no speed-up is stated."
    last = measured[-1]
    if len(measured) == 1:
        return (
            f"{curve.label}: {middle(last.seconds, 's')} with {workers(last.workers)} "
            f"({_level(last.seconds, 's')}); how it scales is not known."
        )
    return _faster(curve, best(curve) or last)


def best(curve: Curve) -> CurvePoint | None:
    """Return the point that the headline speaks of: the largest measured worker count."""
    measured = [point for point in curve.points if point.speedup is not None]
    return measured[-1] if len(measured) > 1 else None


def _faster(curve: Curve, point: CurvePoint) -> str:
    """Return "2 workers are 1.31x as fast as 1 (95 % interval ...), efficiency 65 %"."""
    efficiency = point.efficiency.mid if point.efficiency else None
    text = (
        f"{curve.label}: {workers(point.workers)} are {middle(point.speedup)}× as fast as "
        f"{curve.base} ({_level(point.speedup)}), efficiency {percent(efficiency)}"
    )
    low = point.speedup.low if point.speedup else None
    high = point.speedup.high if point.speedup else None
    if low is not None and high is not None and low <= 1 <= high:
        return f"{text}; whether that is faster at all is undecided."
    return f"{text}."


def _ratio(one: Ratio) -> str:
    """Return one sentence on two comparable curves at one worker count."""
    return (
        f"At {workers(one.workers)}, {one.right_label} takes {middle(one.ratio)}× the time of "
        f"{one.left_label} ({_level(one.ratio)}){_accepted(one.accepted)}."
    )


def losses(overview: StudyAnalysis) -> list[str]:
    """Return one sentence a point: what its time beyond the ideal was lost to, or the base's."""
    return [_loss(one, point) for one in overview.losses for point in one.points]


def _loss(one: Losses, point: LossPoint) -> str:
    found = point.attribution
    place = f"{one.label}, {workers(point.workers)}"
    if not point.gap:
        named = _named(found.parts, found.wall, "")
        return f"{place}: {seconds(found.wall)} went to {named}."
    beyond = sum(part.seconds for part in point.gap)
    ideal = f"{place}: {seconds(found.wall)}, ideal {seconds(found.wall - beyond)}"
    if beyond <= 0:
        return f"{ideal}: nothing was lost."
    return f"{ideal}; the {seconds(beyond)} between: {_named(point.gap, beyond, '+')}."


def _named(parts: Sequence[Part], whole: float, sign: str) -> str:
    """Name the largest parts, at most six, each at least a fiftieth of the whole (s)."""
    large = sorted(parts, key=lambda part: -abs(part.seconds))[:6]
    shown = [part for part in large if abs(part.seconds) >= whole / 50]
    return ", ".join(
        f"{part.name} {sign if part.seconds > 0 else ''}{seconds(part.seconds)}" for part in shown
    )


def loss_notes(overview: StudyAnalysis) -> list[str]:
    """Return what the attributions could not tell apart, each once."""
    points = [point for one in overview.losses for point in one.points]
    return list(dict.fromkeys(note for point in points for note in point.attribution.notes))


def _accepted(names: Sequence[str]) -> str:
    """Return what the reader accepted, to follow a statement; nothing where it is nothing."""
    return f"; accepted by the reader: {', '.join(names)}" if names else ""


def _level(interval: Interval | None, unit: str = "") -> str:
    """Return "95 % interval 1.2 to 1.4", or why there is none."""
    if interval is None or interval.level is None:
        return "one run only, no interval"
    return f"{percent(interval.level)} interval {span(interval, unit)}"


def counts(overview: StudyAnalysis) -> str:
    """Return how many runs count and how the others ended."""
    c = overview.counts
    total = f"{len(overview.runs)} run{'' if len(overview.runs) == 1 else 's'}"
    parts = [f"{total}, {c.ok} counted"]
    named = (("failed", c.failed), ("timed out", c.timeout), ("skipped", c.skipped))
    parts += [f"{many} {name}" for name, many in (*named, ("superseded", c.superseded)) if many]
    if overview.planned is not None:
        parts.append(f"{overview.planned} planned")
    return ", ".join(parts)


def equality(verdicts: Sequence[Verdict]) -> str:
    """Return the verdict on equality in one sentence."""
    if not verdicts:
        return "There is nothing to compare yet."
    no = sum(one.comparable is False for one in verdicts)
    unknown = sum(one.comparable is None for one in verdicts)
    accepted = _accepted(list(dict.fromkeys(name for one in verdicts for name in one.accepted)))
    if no:
        text = f"Not comparable: {no} of {len(verdicts)} comparisons are not of the same work"
    elif unknown:
        text = f"Not proven: {unknown} of {len(verdicts)} comparisons lack evidence"
    elif accepted:
        text = "Same work but for what was accepted"
    else:
        text = "Same work: all runs that are compared found the same model on the same data"
    return f"{text}{accepted}."
