"""``benchcast list``: workloads and environment kinds, or the runs of a study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.cli.common import (
    RESULTS,
    JsonOption,
    OptionalStudy,
    ResultsOption,
    WhereOption,
    cell_filter,
    console,
    print_json,
    with_results,
)

if TYPE_CHECKING:
    from bench.records.results import Run


def list_(
    study: OptionalStudy = None,
    results: ResultsOption = RESULTS,
    where: WhereOption = None,
    json: JsonOption = False,
) -> None:
    """List the workloads, environment kinds and studies with results; or a study's runs."""
    if study is None:
        _overview(results, json)
        return
    stored = with_results(study, results).read()
    chosen = cell_filter(where)
    runs = [run for run in stored.runs if chosen(run.cell)]
    if json:
        print_json("list", study, {"runs": runs, "warnings": stored.warnings})
        return
    _runs(runs)
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


def _runs(runs: Sequence[Run]) -> None:
    from rich.table import Table

    table = Table("run", "workload", "environment", "workers", "repeat", "status", "work s", "why")
    for run in runs:
        work = run.phases.get("work")
        row = (
            run.run,
            run.cell.workload,
            run.cell.environment,
            str(run.cell.workers),
            str(run.cell.repeat),
            run.status,
            "" if work is None else f"{work:.2f}",
            run.reason,
        )
        table.add_row(*row)
    console().print(table)
