"""Shared by the verbs: a study and its results, filters, and the two ways to print."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.errors import StudyError, UserError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.contracts import Finding
    from bench.records.results import Run
    from bench.records.study import Cell, Study
    from bench.store.folder import Store

SCHEMA = 1

StudyArgument = Annotated[
    str, typer.Argument(metavar="STUDY", help="A study file, or a folder of results.")
]
StudyFileArgument = Annotated[str, typer.Argument(metavar="STUDY", help="A study file (TOML).")]
OptionalStudy = Annotated[
    str | None, typer.Argument(metavar="[STUDY]", help="A study file, or a folder of results.")
]
ResultsOption = Annotated[
    Path, typer.Option("--results", help="Folder of results, with a folder for each study.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
WhereOption = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="PATH=VALUE", help="Only cells with this value; repeatable."),
]
MetricOption = Annotated[
    str | None,
    typer.Option("--metric", metavar="NAME", help="The headline, instead of the study's own."),
]
RESULTS = Path("results")
LAST = "last"


def load_study(path: Path) -> Study:
    """Read a study file with all environment kinds and workloads."""
    from bench import environments, study, workloads

    return study.load(path, environments.kinds(), workload=workloads.manifest)


def study_file(text: str) -> Path:
    """Return the path of a study file that exists, or raise StudyError."""
    path = Path(text)
    if not path.is_file():
        hint = " (a folder; give the study file)" if path.is_dir() else ""
        raise StudyError(
            f"study file {text} does not exist{hint}",
            remedy="write one with: benchcast init study.toml",
        )
    return path


def results_of(text: str, results: Path) -> Store:
    """Return the store of a study file, a results folder or a study's name."""
    from bench.store.folder import Store

    path = Path(text)
    if path.is_dir():
        return Store(path)
    if path.suffix == ".toml" and not path.is_file():
        study_file(text)
    return Store(results / path.stem)


def with_results(text: str, results: Path) -> Store:
    """Return the store, or raise StudyError if it has no results yet."""
    store = results_of(text, results)
    if not any(store.root.glob("*.jsonl")):
        raise StudyError(
            f"there are no results in {store.root}", remedy=f"run it first: benchcast run {text}"
        )
    return store


def conditions(where: list[str] | None) -> dict[str, str]:
    """Return PATH=VALUE texts as a mapping, or raise UserError."""
    pairs = {}
    for text in where or ():
        path, equals, value = text.partition("=")
        if not (path and equals and value):
            raise UserError(f"--where {text}: PATH=VALUE is allowed, such as workers=2")
        pairs[path.strip()] = value.strip()
    return pairs


def cell_filter(where: list[str] | None) -> Callable[[Cell], bool]:
    """Return the cell filter of ``--where``."""
    from bench.plan import matches

    wanted = conditions(where)
    return lambda cell: matches(cell, wanted)


def print_json(verb: str, study: str, data: object, findings: Iterable[Finding] = ()) -> None:
    """Print the JSON document of ``--json``."""
    import msgspec

    document: Mapping[str, object] = {
        "schema": SCHEMA,
        "verb": verb,
        "study": study,
        "data": data,
        "findings": list(findings),
    }
    text = msgspec.json.format(msgspec.json.encode(document), indent=2)
    sys.stdout.write(text.decode() + "\n")


def console(*, stderr: bool = False) -> Console:
    """Return a rich console; plain and unwrapped if it is not a terminal."""
    from rich.console import Console

    rich_console = Console(stderr=stderr, highlight=False)
    if not rich_console.is_terminal:
        rich_console = Console(stderr=stderr, highlight=False, width=160, no_color=True)
    return rich_console


def warn(text: str) -> None:
    """Print a warning to standard error."""
    console(stderr=True).print(f"warning: {text}", markup=False)


def find_run(prefix: str, study: str | None, results: Path) -> tuple[Store, Run]:
    """Return the run whose id starts with ``prefix`` (or the last run) and its store."""
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
