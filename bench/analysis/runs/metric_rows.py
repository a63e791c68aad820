"""Every metric of every cell, and of each item: what the headline does not show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from bench.analysis.runs.grouping import CurveRuns
from bench.analysis.runs.headline import by_item, headline
from bench.analysis.runs.metrics import MetricRule, names, rule_for
from bench.analysis.runs.summary import middle
from bench.analysis.runs.types import CellSummary, Headline, MetricRow, Unreported
from bench.analysis.statistics.interval import LEVEL
from bench.records.results import Bundle


def metric_rows(
    lines: Sequence[CurveRuns],
    cells: Sequence[Sequence[CellSummary]],
    bundles: Mapping[str, Bundle],
    level: float = LEVEL,
) -> tuple[MetricRow, ...]:
    """Return a row for each metric that a cell's counted runs report, followed by its items'."""
    return tuple(
        row
        for line, own in zip(lines, cells, strict=True)
        for metric in _rules(line, bundles)
        for group, cell in zip(line.groups, own, strict=True)
        for row in _rows(
            cell,
            metric,
            [headline(run, metric) for run in group.counted],
            [by_item(run, metric) for run in group.counted],
            level,
        )
    )


def unreported(lines: Iterable[CurveRuns], bundles: Mapping[str, Bundle]) -> tuple[Unreported, ...]:
    """Return the declared metrics that no counted run of a curve reports."""
    missing = (
        Unreported(
            label=line.label,
            names=tuple(
                metric.name
                for metric in _rules(line, bundles)
                if all(headline(run, metric) is None for run in line.counted)
            ),
        )
        for line in lines
        if line.counted
    )
    return tuple(one for one in missing if one.names)


def _rules(line: CurveRuns, bundles: Mapping[str, Bundle]) -> list[MetricRule]:
    return [rule_for(name, line.counted, bundles) for name in names(line.counted, bundles)]


def _rows(
    cell: CellSummary,
    metric: MetricRule,
    heads: Sequence[Headline | None],
    items: Sequence[Mapping[str, Headline]],
    level: float,
) -> Iterator[MetricRow]:
    """Yield the row of a metric at a cell, and those of its items in the order of their report."""
    by_name: dict[str, list[Headline]] = {"": [head for head in heads if head is not None]}
    for of_run in items:
        for item, head in of_run.items():
            by_name.setdefault(item, []).append(head)
    if len(by_name) == 2:  # one item is all of it
        by_name = {"": by_name[""]}
    for item, found in by_name.items():
        if found:
            yield MetricRow(
                cell=cell.id,
                label=cell.label,
                workers=cell.workers,
                metric=metric,
                item=item,
                which="; ".join(sorted({head.which for head in found})),
                value=middle([head.value for head in found], metric, level),
            )
