"""``benchcast plan``: the cells, their order and the estimated time; nothing is started."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.common import (
    RESULTS,
    JsonOption,
    MetricOption,
    ResultsOption,
    StudyFileArgument,
    WhereOption,
    cell_filter,
    console,
    load_study,
    print_json,
    results_of,
    study_file,
)

if TYPE_CHECKING:
    from bench.analysis.statistics.types import Effect
    from bench.plan import Fixed
    from bench.plan.progress import Index
    from bench.records.results import Run
    from bench.records.study import Cell
    from bench.runner import PreparedStudy
    from bench.store.reader import Results


def plan(
    study: StudyFileArgument,
    results: ResultsOption = RESULTS,
    where: WhereOption = None,
    new: Annotated[
        bool, typer.Option("--new", help="Plan a new campaign: ignore earlier runs.")
    ] = False,
    metric: MetricOption = None,
    json: JsonOption = False,
) -> None:
    """Show cells, order, estimated time, what the repeats can detect and what would be created."""
    from bench.plan import Estimate
    from bench.plan.progress import Index
    from bench.runner import prepare

    path = study_file(study)
    with prepare(load_study(path), path.parent) as prepared:
        fixed = prepared.plan()
    stored = results_of(study, results).read()
    latest = stored.latest
    runs = stored.of_campaign(latest.campaign) if latest and not new else []
    index = Index(runs)
    chosen = cell_filter(where)
    cells = [cell for cell in fixed.planned(index) if chosen(cell)]
    left = [cell for cell in fixed.remaining(index) if chosen(cell)]
    runnable = [cell for cell in left if not fixed.reason_to_skip(cell)]
    seconds = Estimate(stored.runs).longest(runnable, prepared.lanes())
    headline = _headline(metric, fixed, stored)
    effects = _effects(fixed, stored, headline)
    if json:
        rows = [_row(cell, fixed, index) for cell in cells]
        data = {"cells": rows, "left": len(left), "seconds": seconds}
        data["unplanned"] = prepared.study.unplanned
        data["metric"] = headline
        data["detectable"] = effects
        data["creates"] = _created(prepared)
        data["sampling"] = prepared.study.sampling
        data["wide"] = [
            {**_row(wide.cell, fixed, index), "width": wide.width, "runs": wide.runs}
            for wide in fixed.wide(index)
        ]
        print_json("plan", prepared.study.name, data, prepared.findings)
    else:
        _print(prepared, fixed, index, cells, left, seconds, runs)
        _print_precision(fixed, index, effects, headline)
    prepared.raise_if_unfit()


def _headline(asked: str | None, fixed: Fixed, stored: Results) -> str:
    """Return the metric of the smallest effect: the study's, or another that is known here."""
    if asked is None:
        return fixed.study.metric
    from bench.analysis.runs.metrics import names
    from bench.reading.study import known_metric

    declared = {name for bundle in fixed.bundles.values() for name in bundle.metrics}
    return known_metric(asked, sorted({*names(stored.runs, stored.bundles), *declared}))


def _effects(fixed: Fixed, stored: Results, metric: str) -> list[Effect]:
    """Return the smallest detectable effects: for the least and for the most repeats.

    None where a value is not positive: the test is on logs.
    """
    from bench.analysis.runs.headline import headline
    from bench.analysis.runs.metrics import declared, rule_for
    from bench.analysis.statistics import power

    bundles = {**stored.bundles, **fixed.bundles}
    groups: dict[tuple[str, str], list[float]] = {}
    for run in stored.runs:
        head = headline(run, rule_for(metric, [run], bundles))
        if head is not None and head.value <= 0:
            return []
        if head is not None:
            groups.setdefault((run.cell.series, run.session), []).append(head.value)
    noise = power.noise(groups.values())
    fall = declared(metric, bundles.values()).direction == "higher"
    repeats = sorted({fixed.min_repeats, fixed.study.repeats})
    detectable = [power.detectable(number, noise, fall=fall) for number in repeats]
    return [effect for effect in detectable if effect is not None]


def _print_precision(fixed: Fixed, index: Index, effects: Sequence[Effect], metric: str) -> None:
    from bench.records.metrics import TIME
    from bench.units import format_duration

    out, study = console(), fixed.study
    out.print(f"samples of CPU, memory and so on: every {format_duration(study.sampling)}")
    if study.width is not None:
        out.print(
            f"repeats: until every interval is within {study.width:.3g} of its middle, "
            f"at most {study.repeats}"
        )
    for wide in fixed.wide(index):
        out.print(f"still wide: {wide.describe()}", markup=False)
    if not effects:
        out.print("smallest effect: none, one repeat has no interval")
    of = "" if metric == TIME else f" of {metric}"
    for effect in effects:
        noise = effect.noise
        basis = (
            f"measured in {noise.runs} runs" if noise.runs else "an assumption until the first runs"
        )
        out.print(
            f"smallest effect: {effect.repeats} repeats detect a change{of} of {effect.change:.0%} "
            f"with power {effect.power:g} at level {effect.alpha:g}; "
            f"noise {noise.sd:.1%} ({basis})"
        )


def _row(cell: Cell, fixed: Fixed, index: Index) -> dict[str, object]:
    row: dict[str, object] = {
        "workload": cell.workload,
        "environment": cell.environment,
        "workers": cell.workers,
        "repeat": cell.repeat,
        "factors": cell.factors,
        "key": cell.key,
        "state": _state(cell, fixed, index),
    }
    return row


def _state(cell: Cell, fixed: Fixed, index: Index) -> str:
    if index.ok(cell):
        return "done"
    if reason := fixed.reason_to_skip(cell):
        return f"skipped: {reason}"
    return f"failed {index.attempts(cell)}x" if index.attempts(cell) else "to run"


def _print(
    prepared: PreparedStudy,
    fixed: Fixed,
    index: Index,
    cells: Sequence[Cell],
    left: Sequence[Cell],
    seconds: float | None,
    runs: Sequence[Run],
) -> None:
    from rich.table import Table

    from bench.units import format_duration

    out = console()
    study = prepared.study
    table = Table("#", "workload", "environment", "workers", "factors", "repeat", "state")
    for number, cell in enumerate(cells, start=1):
        factors = ", ".join(f"{k}={v}" for k, v in cell.factors.items() if k != "workers")
        state = _state(cell, fixed, index)
        row = (number, cell.workload, cell.environment, cell.workers, factors, cell.repeat, state)
        table.add_row(*(str(value) for value in row))
    out.print(f"{study.title} ({study.name}): {len(cells)} cells, {len(left)} to run")
    out.print(table)
    for text in study.unplanned:
        out.print(f"not planned: {text}", markup=False)
    for finding in prepared.findings:
        out.print(f"{finding.severity}: {finding}", markup=False)
    guess = "unknown until the first runs" if seconds is None else format_duration(seconds)
    basis = f" (from {len(runs)} runs)" if seconds is not None and runs else ""
    out.print(f"estimated time: {guess}{basis}" if left else "nothing left to run")
    for name, text in _created(prepared).items():
        kind = next(
            environment.kind for environment in study.environments if environment.name == name
        )
        out.print(f"would create: {name} ({kind}): {text}", markup=False)


def _created(prepared: PreparedStudy) -> dict[str, str]:
    """Describe for each environment what its largest cluster creates."""
    from bench.runner.resolve import cluster_spec

    created: dict[str, str] = {}
    for name, environment in prepared.environments.items():
        specs = [cluster_spec(case) for case in prepared.study.cases if case.environment == name]
        if specs:  # no workload may run on it
            sizes = {(environment.machines(spec), spec.workers): spec for spec in specs}
            created[name] = environment.creates(sizes[max(sizes)])
    return created
