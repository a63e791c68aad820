"""``benchcast list``: workloads and environment kinds, or the runs of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.cli.common import (
    RESULTS,
    JsonOption,
    MetricOption,
    OptionalStudy,
    ResultsOption,
    WhereOption,
    cell_filter,
    console,
    print_json,
    with_results,
)

if TYPE_CHECKING:
    from bench.analysis.runs.types import Headline
    from bench.records.results import Run
    from bench.store.reader import Results


def list_(
    study: OptionalStudy = None,
    results: ResultsOption = RESULTS,
    where: WhereOption = None,
    metric: MetricOption = None,
    json: JsonOption = False,
) -> None:
    """List the workloads, environment kinds and studies with results; or a study's runs."""
    if study is None:
        _overview(results, json)
        return
    stored = with_results(study, results).read()
    chosen = cell_filter(where)
    runs = [run for run in stored.runs if chosen(run.cell)]
    numbers = {} if metric is None else _numbers(metric, runs, stored)
    if json:
        data: dict[str, object] = {"runs": runs, "warnings": stored.warnings}
        print_json("list", study, data if metric is None else {**data, "numbers": numbers})
        return
    _runs(runs, metric, numbers)
    for text in stored.warnings:
        console(stderr=True).print(f"warning: {text}", markup=False)


def _overview(results: ResultsOption, json: bool) -> None:
    from rich.table import Table

    from bench import environments, workloads

    manifests = {name: workloads.read(workloads.find(name, results)) for name in workloads.names()}
    kinds = sorted(environments.kinds())
    studies = sorted(path.parent.name for path in results.glob("*/*.jsonl"))
    if json:
        data = {"workloads": manifests, "environments": kinds, "studies": sorted(set(studies))}
        print_json("list", "", data)
        return
    table = Table("workload", "task", "engine", "datasets", "parameters (default)")
    for name, manifest in manifests.items():
        params = ", ".join(f"{key} = {param.default}" for key, param in manifest.params.items())
        table.add_row(name, manifest.task, manifest.engine, ", ".join(manifest.dataset), params)
    out = console()
    out.print(table)
    out.print(f"environment kinds: {', '.join(kinds)}")
    out.print(f"studies with results: {', '.join(sorted(set(studies))) or 'none yet'}")


def _numbers(metric: str, runs: Sequence[Run], stored: Results) -> dict[str, Headline]:
    """Return the runs' numbers of a metric, by run; UserError if the results do not have it."""
    from bench.analysis.runs.headline import headline
    from bench.analysis.runs.metrics import names, rule_for
    from bench.reading.study import known_metric

    known_metric(metric, names(stored.runs, stored.bundles))
    numbers = {run.run: headline(run, rule_for(metric, [run], stored.bundles)) for run in runs}
    return {run: number for run, number in numbers.items() if number is not None}


def _runs(runs: Sequence[Run], metric: str | None, numbers: Mapping[str, Headline]) -> None:
    from rich.table import Table

    from bench.report import format

    head = metric or "work s"
    table = Table("run", "workload", "environment", "workers", "repeat", "status", head, "why")
    for run in runs:
        work, number = run.phases.get("work"), numbers.get(run.run)
        shown = "" if work is None else f"{work:.2f}"
        if metric is not None:
            shown = "" if number is None else format.amount(number.value, number.unit)
        row = (
            run.run,
            run.cell.workload,
            run.cell.environment,
            str(run.cell.workers),
            str(run.cell.repeat),
            run.status,
            shown,
            run.reason,
        )
        table.add_row(*row)
    console().print(table)
