"""What the work's time was lost to, at each worker count of a curve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from bench.analysis.attribution.attribution import Part
from bench.analysis.attribution.types import Losses, LossPoint
from bench.analysis.study_types import StudyAnalysis
from bench.report import format
from bench.report.charts import style
from bench.report.charts.bars import Bar, stacked
from bench.report.charts.figures import Chart, Figure
from bench.report.markdown_blocks import bullets
from bench.report.section import Section


class Attribution(Section):
    """A bar and a sentence for each run whose work was attributed."""

    name = "attribution"
    template = "sections/attribution.html.j2"

    def applies(self, analysis: StudyAnalysis) -> bool:
        """Say whether the work of any run was attributed."""
        return bool(analysis.attribution)

    def charts(self, analysis: StudyAnalysis) -> Sequence[Chart]:
        """Return the bars."""
        return (
            Chart(
                name="losses",
                title="What the work's time was lost to",
                caption="Of each worker count the run nearest to the middle: its slots' time, "
                "divided by the slots, so that the parts add up to the time of the work (ready "
                "to end).",
                draw=partial(stacked, bars(analysis.attribution), "time of the work (s)"),
            ),
        )

    def view(self, analysis: StudyAnalysis) -> Mapping[str, object]:
        """Return the sentences, and what the attributions could not tell apart."""
        return {"sentences": sentences(analysis.attribution), "notes": notes(analysis.attribution)}

    def markdown(self, analysis: StudyAnalysis, figures: Sequence[Figure]) -> Iterable[str]:
        """Return the chart and the sentences."""
        yield from super().markdown(analysis, figures)
        yield "## What added workers are lost to"
        yield bullets(sentences(analysis.attribution))
        yield bullets(notes(analysis.attribution))


def bars(curves: Sequence[Losses]) -> list[Bar]:
    """Return a bar for each attributed run; the smallest parts are together in "other"."""
    points = [(curve.label, point) for curve in curves for point in curve.points]
    sizes: dict[str, float] = {}
    for _, point in points:
        for part in point.attribution.parts:
            sizes[part.name] = max(sizes.get(part.name, 0.0), part.share or 0.0)
    kept = sorted(sizes, key=lambda name: -sizes[name])[: len(style.PARTS) - 1]
    return [_bar(label, point, kept) for label, point in points]


def _bar(label: str, point: LossPoint, kept: Sequence[str]) -> Bar:
    parts = {part.name: part.seconds for part in point.attribution.parts}
    shown = {name: parts[name] for name in kept if name in parts}
    rest = sum(parts.values()) - sum(shown.values())
    return Bar(label, point.workers, shown | ({"other": rest} if rest > 0 else {}))


def sentences(curves: Sequence[Losses]) -> list[str]:
    """Return one sentence a point: what its time beyond the ideal was lost to, or the base's."""
    return [_loss(curve.label, point) for curve in curves for point in curve.points]


def notes(curves: Sequence[Losses]) -> list[str]:
    """Return what the attributions could not tell apart, each once."""
    points = [point for curve in curves for point in curve.points]
    return list(dict.fromkeys(note for point in points for note in point.attribution.notes))


def _loss(label: str, point: LossPoint) -> str:
    attribution = point.attribution
    cell = format.cell_label(label, point.workers)
    if not point.gap:
        named = _named(attribution.parts, attribution.wall, "")
        return f"{cell}: {format.seconds(attribution.wall)} went to {named}."
    beyond = sum(part.seconds for part in point.gap)
    wall = attribution.wall
    ideal = f"{cell}: {format.seconds(wall)}, ideal {format.seconds(wall - beyond)}"
    if beyond <= 0:
        return f"{ideal}: nothing was lost."
    return f"{ideal}; the {format.seconds(beyond)} between: {_named(point.gap, beyond, '+')}."


def _named(parts: Sequence[Part], whole: float, sign: str) -> str:
    """Name the largest parts, at most six, each at least a fiftieth of the whole (s)."""
    large = sorted(parts, key=lambda part: -abs(part.seconds))[:6]
    shown = [part for part in large if abs(part.seconds) >= whole / 50]
    return ", ".join(
        f"{part.name} {sign if part.seconds > 0 else ''}{format.seconds(part.seconds)}"
        for part in shown
    )
