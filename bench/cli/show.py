"""``benchcast show``: one run, and the folder of its files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.common import (
    RESULTS,
    JsonOption,
    OptionalStudy,
    ResultsOption,
    console,
    find_run,
    print_json,
    warn,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.records.results import ClusterEvent, Machine


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The start of a run's id, or 'last'.")],
    study: OptionalStudy = None,
    results: ResultsOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """Show one run: status, phases, stages, model, where its work went, and its files."""
    from bench.reading.attributions import attributions

    store, chosen = find_run(run, study, results)
    folder = store.folder(chosen.run)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    stored = store.read()
    case = stored.cases.get(chosen.cell.case)
    life = stored.lives.get((chosen.session, chosen.cluster))
    attributable = [(chosen, case)] if case and chosen.status == "ok" else []
    went = attributions(store, attributable, warn).get(chosen.run)
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
