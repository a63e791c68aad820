"""``benchcast cleanup``: remove what dead sessions left behind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.common import (
    RESULTS,
    JsonOption,
    OptionalStudy,
    ResultsOption,
    load_study,
    print_json,
)
from bench.errors import UserError

if TYPE_CHECKING:
    from bench.contracts import Cache, Environment
    from bench.records.study import EnvironmentSpec
    from bench.store.folder import Store
    from bench.store.reader import Results


def cleanup(
    study: OptionalStudy = None,
    results: ResultsOption = RESULTS,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="List what would be removed, remove nothing.")
    ] = False,
    cache: Annotated[
        bool,
        typer.Option(
            "--cache",
            help="Also remove the cache of bundles and Python environments: this machine's,"
            " and with STUDY that of its hosts over SSH. It is made again when it is needed.",
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Remove what dead sessions of these results left running or lying about."""
    with contextlib.ExitStack() as opened:
        found = [
            text
            for store in _stores(study, results)
            for text in _sweep(opened, store, study, dry_run)
        ]
        cleared, kept = _clear(_caches(opened, study, results) if cache else [], dry_run)
    found += cleared
    if json:
        removed = [] if dry_run else found
        print_json("cleanup", study or "", {"removed": removed, "found": found, "kept": kept})
        return
    word = "would remove" if dry_run else "removed"
    for text in found:
        typer.echo(f"{word} {text}")
    for text in kept:
        typer.echo(f"left {text}")
    if not found and not kept:
        typer.echo("nothing was left behind")


def _clear(caches: Iterable[Cache], dry_run: bool) -> tuple[list[str], list[str]]:
    """Remove caches that nobody uses; return those, and the others with who may use them."""
    found: list[str] = []
    kept: list[str] = []
    for one in caches:
        if reason := one.busy():
            kept.append(f"{one.describe()}: in use by {reason}")
            continue
        found.append(one.describe())
        if not dry_run:
            one.remove()
    return found, kept


def _stores(study: str | None, results: Path) -> list[Store]:
    from bench.cli.common import results_of
    from bench.store.folder import Store

    if study is not None:
        return [results_of(study, results)]
    return [Store(path) for path in sorted(results.glob("*")) if any(path.glob("*.jsonl"))]


def _caches(opened: contextlib.ExitStack, study: str | None, results: Path) -> list[Cache]:
    """Return this machine's cache and, with a study, those of its hosts."""
    from bench.contracts import CleansCache
    from bench.hosts.cache import local

    found = local()
    for store in _stores(study, results) if study is not None else []:
        for environment in _environments(opened, store.read(), study):
            if isinstance(environment, CleansCache):
                found += environment.caches()
    return found


def _sweep(
    opened: contextlib.ExitStack, store: Store, study: str | None, dry_run: bool
) -> list[str]:
    from bench.runner import cleanup as sweep

    known = store.read()
    found = []
    for leftover in sweep.leftovers(known, _environments(opened, known, study)):
        found.append(leftover.text)
        if not dry_run:
            leftover.remove()
    orphans = sweep.orphans(store, known)
    found += [f"the unfinished folder of run {run}" for run in orphans]
    if not dry_run:
        sweep.discard(store, orphans)
    return found


def _environments(
    opened: contextlib.ExitStack, known: Results, study: str | None
) -> list[Environment]:
    """Build each environment that a session of these results had, once; ``opened`` closes them.

    Records do not hold all settings: the session's own are taken where it left them, then those
    of the study file.
    """
    import msgspec

    from bench import environments
    from bench.runner import cleanup as sweep

    specs = [spec for one in known.sessions.values() for spec in sweep.kept(one)]
    if study is not None and study.endswith(".toml") and Path(study).is_file():
        specs = [*load_study(Path(study)).environments, *specs]
    specs.sort(key=lambda spec: spec.recorded is None)
    whole: dict[bytes, EnvironmentSpec] = {}
    for spec in specs:
        whole.setdefault(msgspec.json.encode(spec.for_record()), spec)
    built = []
    for spec in whole.values():
        try:
            built.append(opened.enter_context(environments.build(spec)))
        except UserError as error:
            typer.echo(f"not looked at: {spec.name}: {error}", err=True)
    return built
