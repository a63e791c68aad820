"""``benchcast cleanup``: remove what dead sessions left behind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
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
from bench.errors import StoreError

if TYPE_CHECKING:
    from bench.contracts import Cache, Finding
    from bench.records.study import EnvironmentSpec
    from bench.store.folder import Store


class _Tidied:
    """What a cleanup found (and removed, unless it only looked), what it kept and why, and notes
    on where it could not look."""

    def __init__(self, dry_run: bool) -> None:
        self.dry_run = dry_run
        self.found: list[str] = []
        self.kept: list[str] = []
        self.notes: list[str] = []

    def print(self) -> None:
        for text in dict.fromkeys(self.notes):
            typer.echo(text, err=True)
        word = "would remove" if self.dry_run else "removed"
        for text in self.found:
            typer.echo(f"{word} {text}")
        for text in self.kept:
            typer.echo(f"left {text}")
        if not self.found and not self.kept:
            typer.echo("nothing was left behind")


def cleanup(
    study: OptionalStudy = None,
    results: ResultsOption = RESULTS,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="List what would be removed, remove nothing.")
    ] = False,
    other_hosts: Annotated[
        bool,
        typer.Option(
            "--other-hosts",
            help="Also remove what sessions of other hosts left. Whether these still run cannot be"
            " known from here: make sure that they do not.",
        ),
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
    """Remove processes, folders and machines that crashed sessions left behind."""
    tidied = _Tidied(dry_run)
    stores = _stores(study, results)
    for store in stores:
        try:
            with contextlib.nullcontext() if dry_run else store.locked():
                _sweep(store, study, tidied, other_hosts)
        except StoreError as error:
            if len(stores) == 1:
                raise
            tidied.notes.append(f"not looked at: {error}")
    if cache:
        _clean_caches(study, results, tidied)
    if json:
        removed = [] if dry_run else tidied.found
        data = {"removed": removed, "found": tidied.found, "kept": tidied.kept}
        print_json("cleanup", study or "", data, map(_finding, dict.fromkeys(tidied.notes)))
    else:
        tidied.print()


def _stores(study: str | None, results: Path) -> list[Store]:
    from bench.cli.common import results_of
    from bench.store.folder import Store

    if study is None:
        return [Store(path) for path in sorted(results.glob("*")) if any(path.glob("*.jsonl"))]
    store = results_of(study, results)
    return [store] if store.root.is_dir() else []


def _sweep(store: Store, study: str | None, tidied: _Tidied, other_hosts: bool) -> None:
    """Look for what sessions of these results left; the folder is held unless it only looks."""
    from bench.runner import cleanup as runner

    results = store.read()
    dead, elsewhere = runner.dead_sessions(results), runner.elsewhere(results)
    with contextlib.ExitStack() as opened:
        places, failures = runner.environments_of(results, _specs(study), opened)
        everything = runner.find(store, results, places, dead | elsewhere)
        tidied.notes += [*failures, *everything.notes]
        sweep = everything if other_hosts else everything.of(dead)
        if tidied.dry_run:
            tidied.found += sweep.describe()
        else:
            tidied.found += sweep.remove(store)
            runner.forget(results, dead, everything.looked_at)
    if not other_hosts:
        for text in everything.of(elsewhere).describe():
            tidied.kept.append(f"{text}: of another host's session; --other-hosts removes it too")


def _specs(study: str | None) -> tuple[EnvironmentSpec, ...]:
    """Return the environments of a study file: it has settings that records do not hold."""
    if study is None or not study.endswith(".toml") or not Path(study).is_file():
        return ()
    return load_study(Path(study)).environments


def _finding(text: str) -> Finding:
    from bench.contracts import Finding

    return Finding(severity="warning", scope="study", what=text)


def _clean_caches(study: str | None, results: Path, tidied: _Tidied) -> None:
    """Remove this machine's cache and, with a study, those of its hosts, unless in use."""
    from bench.hosts.cache import local
    from bench.runner.notes import listening

    with contextlib.ExitStack() as opened, listening(tidied.notes.append):
        caches = list(local())
        if study is not None:
            caches += _host_caches(study, results, tidied, opened)
        for cache in caches:
            if reason := cache.busy():
                tidied.kept.append(f"{cache.describe()}: in use by {reason}")
                continue
            tidied.found.append(cache.describe())
            if not tidied.dry_run:
                cache.remove()


def _host_caches(
    study: str, results: Path, tidied: _Tidied, opened: contextlib.ExitStack
) -> Iterator[Cache]:
    from bench.cli.common import results_of
    from bench.contracts import CleansCache
    from bench.runner import cleanup as runner

    stored = results_of(study, results).read()
    built, failures = runner.environments_of(stored, _specs(study), opened)
    tidied.notes += failures
    for environment in built.values():
        if isinstance(environment, CleansCache):
            yield from environment.caches()
