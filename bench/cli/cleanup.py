"""``benchcast cleanup``: remove processes, folders and machines of dead sessions."""

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


class _Report:
    """What a cleanup found (and removed, without ``--dry-run``), what it kept and why.

    ``notes`` report environments that it could not search.
    """

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
            help="Also remove what sessions of other hosts left behind. Benchcast cannot tell"
            " whether they still run: make sure that they do not.",
        ),
    ] = False,
    cache: Annotated[
        bool,
        typer.Option(
            "--cache",
            help="Also remove the cache of bundles and Python environments: this machine's,"
            " and with STUDY also that of its SSH hosts. Later runs build it again.",
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Remove processes, folders and machines that crashed sessions left behind."""
    report = _Report(dry_run)
    stores = _stores(study, results)
    for store in stores:
        try:
            with contextlib.nullcontext() if dry_run else store.locked():
                _clean_store(store, study, report, other_hosts)
        except StoreError as error:
            if len(stores) == 1:
                raise
            report.notes.append(f"not searched: {error}")
    if cache:
        _clean_caches(study, results, report)
    if json:
        removed = [] if dry_run else report.found
        data = {"removed": removed, "found": report.found, "kept": report.kept}
        print_json("cleanup", study or "", data, map(_finding, dict.fromkeys(report.notes)))
    else:
        report.print()


def _stores(study: str | None, results: Path) -> list[Store]:
    from bench.cli.common import results_of
    from bench.store.folder import Store

    if study is None:
        return [Store(path) for path in sorted(results.glob("*")) if any(path.glob("*.jsonl"))]
    store = results_of(study, results)
    return [store] if store.root.is_dir() else []


def _clean_store(store: Store, study: str | None, report: _Report, other_hosts: bool) -> None:
    """Find and remove leftovers of these results' sessions; the caller holds the folder's lock."""
    from bench.runner import cleanup as runner

    results = store.read()
    dead, elsewhere = runner.dead_sessions(results), runner.elsewhere(results)
    with contextlib.ExitStack() as opened:
        built, failures = runner.environments_of(results, _specs(study), opened)
        everything = runner.find(store, results, built, dead | elsewhere)
        report.notes += [*failures, *everything.notes]
        chosen = everything if other_hosts else everything.of(dead)
        if report.dry_run:
            report.found += chosen.describe()
        else:
            report.found += chosen.remove(store)
            runner.forget(results, dead, everything.searched)
    if not other_hosts:
        for text in everything.of(elsewhere).describe():
            report.kept.append(f"{text}: of another host's session; --other-hosts removes it too")


def _specs(study: str | None) -> tuple[EnvironmentSpec, ...]:
    """Return the environments of a study file: it has settings that records do not contain."""
    if study is None or not study.endswith(".toml") or not Path(study).is_file():
        return ()
    return load_study(Path(study)).environments


def _finding(text: str) -> Finding:
    from bench.contracts import Finding

    return Finding(severity="warning", scope="study", what=text)


def _clean_caches(study: str | None, results: Path, report: _Report) -> None:
    """Remove this machine's cache and, with a study, those of its hosts, unless in use."""
    from bench.hosts.cache import local
    from bench.runner.notes import listening

    with contextlib.ExitStack() as opened, listening(report.notes.append):
        caches = list(local())
        if study is not None:
            caches += _host_caches(study, results, report, opened)
        for cache in caches:
            if reason := cache.busy():
                report.kept.append(f"{cache.describe()}: in use by {reason}")
                continue
            report.found.append(cache.describe())
            if not report.dry_run:
                cache.remove()


def _host_caches(
    study: str, results: Path, report: _Report, opened: contextlib.ExitStack
) -> Iterator[Cache]:
    from bench.cli.common import results_of
    from bench.contracts import CleansCache
    from bench.runner import cleanup as runner

    stored = results_of(study, results).read()
    built, failures = runner.environments_of(stored, _specs(study), opened)
    report.notes += failures
    for environment in built.values():
        if isinstance(environment, CleansCache):
            yield from environment.caches()
