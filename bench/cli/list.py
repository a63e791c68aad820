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
    chosen_metric,
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
    known = with_results(study, results).read()
    chosen = cell_filter(where)
    runs = [run for run in known.runs if chosen(run.cell)]
    heads = _headlines(runs, chosen_metric(metric, known), known) if metric else {}
    if json:
        data: dict[str, object] = {"runs": runs, "warnings": known.warnings}
        print_json("list", study, {**data, **({"headlines": heads} if metric else {})})
        return
    _runs(runs, metric, heads)
    for text in known.warnings:
        console(stderr=True).print(f"warning: {text}", markup=False)


def _overview(results: ResultsOption, json: bool) -> None:
    from rich.table import Table

    from bench import environments, workloads

    found = {name: workloads.read(workloads.find(name, results)) for name in workloads.names()}
    kinds = sorted(environments.kinds())
    studies = sorted(path.parent.name for path in results.glob("*/*.jsonl"))
    if json:
        data = {"workloads": found, "environments": kinds, "studies": sorted(set(studies))}
        print_json("list", "", data)
        return
    table = Table("workload", "task", "engine", "datasets", "parameters (default)")
    for name, said in found.items():
        params = ", ".join(f"{key} = {param.default}" for key, param in said.params.items())
        table.add_row(name, said.task, said.engine, ", ".join(said.dataset), params)
    out = console()
    out.print(table)
    out.print(f"environment kinds: {', '.join(kinds)}")
    out.print(f"studies with results: {', '.join(sorted(set(studies))) or 'none yet'}")


def _headlines(runs: Sequence[Run], metric: str, known: Results) -> dict[str, Headline]:
    """Return the number of a metric of each run that reports it, by run."""
    from bench.analysis.runs.headline import headline
    from bench.analysis.runs.metrics import rule_for

    numbers = {run.run: headline(run, rule_for(metric, [run], known.bundles)) for run in runs}
    return {run: number for run, number in numbers.items() if number is not None}


def _runs(runs: Sequence[Run], metric: str | None, heads: Mapping[str, Headline]) -> None:
    from rich.table import Table

    from bench.report import metric_words

    value = metric or "work s"
    table = Table("run", "workload", "environment", "workers", "repeat", "status", value, "why")
    for run in runs:
        work, head = run.phases.get("work"), heads.get(run.run)
        shown = "" if work is None else f"{work:.2f}"
        if metric is not None:
            shown = "" if head is None else metric_words.value(head.value, head.unit)
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
