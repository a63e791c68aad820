"""``benchcast show``: one run, and the folder of its files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.attributed import attributions, case_of
from bench.cli.common import RESULTS, JsonOption, OptionalStudy, ResultsOption, console, print_json
from bench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.records.results import ClusterEvent, Machine, Run
    from bench.store.folder import Store

LAST = "last"


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The start of a run's id, or 'last'.")],
    study: OptionalStudy = None,
    results: ResultsOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """Show one run: status, phases, stages, model, where its work went, and its files."""
    store, chosen = find_run(run, study, results)
    folder = store.folder(chosen.run)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    stored = store.read()
    case = case_of(stored, chosen)
    life = stored.lives.get((chosen.session, chosen.cluster))
    attributed = attributions(store, [(chosen, case)] if case and chosen.status == "ok" else [])
    went = attributed.get(chosen.run)
    if json:
        data: dict[str, object] = {"run": chosen, "attribution": went, "folder": str(folder)}
        data |= {"files": files, "machines": life.machines if life is not None else ()}
        print_json("show", store.root.name, data)
        return
    from bench.report.terminal import attribution_table, run_panel
    from bench.units import format_duration

    out = console()
    out.print(run_panel(chosen))
    if went is not None:
        out.print(attribution_table(went))
        for note in went.notes:
            out.print(f"note: {note}", markup=False)
    for text in [] if life is None else _machines(life, stored.machines):
        out.print(text, markup=False)
    session = stored.sessions.get(chosen.session)
    if session is not None and any("samples.parquet" in name for name in files):
        out.print(f"sampled every {format_duration(session.study.sampling)}", markup=False)
    out.print(f"files in {folder}:" if files else "there are no files of this run", markup=False)
    for name in files:
        out.print(f"  {name}", markup=False)


def _machines(life: ClusterEvent, machines: Mapping[str, Machine]) -> list[str]:
    """Describe how long it took to create the machines of the run's cluster."""
    from bench.analysis.runs.provisioning import provision_times
    from bench.report.sections.provisioning import provision_sentence
    from bench.units import format_duration

    return [
        *(provision_sentence(times) for times in provision_times([life], machines)),
        *(
            f"{use.role}: created in {format_duration(use.provision_seconds)}, "
            f"held for {format_duration(use.seconds)}"
            for use in life.machines
            if use.provision_seconds is not None
        ),
    ]


def find_run(prefix: str, study: str | None, results: Path) -> tuple[Store, Run]:
    """Return the run whose id starts with ``prefix`` (or the last run) and its store."""
    from bench.cli.common import with_results
    from bench.store.folder import Store

    if study is not None:
        stores = [with_results(study, results)]
    else:
        roots = sorted({path.parent for path in results.glob("*/*.jsonl")})
        stores = [Store(root) for root in roots]
    runs = [(store, run) for store in stores for run in store.read().runs]
    if not runs:
        raise UserError(f"there are no runs in {results}", remedy="run a study first")
    if prefix == LAST:
        return max(runs, key=lambda pair: pair[1].started_at)
    matches = [pair for pair in runs if pair[1].run.startswith(prefix)]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise UserError(
            f"no run's id starts with {prefix}", remedy="benchcast list STUDY shows the ids"
        )
    some = ", ".join(run.run for _, run in matches[:4])
    raise UserError(
        f"{prefix} is the start of {len(matches)} runs: {some}", remedy="give more characters"
    )
