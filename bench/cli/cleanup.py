"""``benchcast cleanup``: remove what dead sessions left behind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.common import RESULTS, JsonOption, OptionalStudy, ResultsOption, print_json

if TYPE_CHECKING:
    from bench.contracts import Environment
    from bench.store import Results, Store


def cleanup(
    study: OptionalStudy = None,
    results: ResultsOption = RESULTS,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="List what would be removed, remove nothing.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Remove what dead sessions of these results left running or lying about."""
    found: list[str] = []
    for store in _stores(study, results):
        found += _sweep(store, dry_run)
    if json:
        print_json("cleanup", study or "", {"removed": [] if dry_run else found, "found": found})
        return
    word = "would remove" if dry_run else "removed"
    for text in found:
        typer.echo(f"{word} {text}")
    if not found:
        typer.echo("nothing was left behind")


def _stores(study: str | None, results: Path) -> list[Store]:
    from bench.cli.common import results_of
    from bench.store import Store

    if study is not None:
        return [results_of(study, results)]
    return [Store(path) for path in sorted(results.glob("*")) if any(path.glob("*.jsonl"))]


def _sweep(store: Store, dry_run: bool) -> list[str]:
    from bench.runner import sweep

    known = store.read()
    found = []
    for leftover in sweep.leftovers(known, _environments(known)):
        found.append(leftover.describe())
        if not dry_run:
            leftover.remove()
    orphans = sweep.orphans(store, known)
    found += [f"the unfinished folder of run {run}" for run in orphans]
    if not dry_run:
        sweep.discard(store, orphans)
    return found


def _environments(known: Results) -> list[Environment]:
    """Build each environment that a session of these results had, once."""
    from bench import environments

    specs = {
        repr(spec): spec
        for session in known.sessions.values()
        for spec in session.study.environments
    }
    return [environments.build(spec) for spec in specs.values()]
