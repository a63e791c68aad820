"""What verbs share: finding a study and its results, filters, and the two ways to print."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.errors import StudyError, UserError, nearest

if TYPE_CHECKING:
    from rich.console import Console

    from bench.contracts import Finding
    from bench.records.results import Bundle
    from bench.records.study import Cell, Study
    from bench.store.folder import Store
    from bench.store.reader import Results

SCHEMA = 1

StudyArgument = Annotated[
    str, typer.Argument(metavar="STUDY", help="A study file, or a folder of results.")
]
OptionalStudy = Annotated[
    str | None, typer.Argument(metavar="[STUDY]", help="A study file, or a folder of results.")
]
ResultsOption = Annotated[
    Path, typer.Option("--results", help="Where results are kept, a folder for each study.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
WhereOption = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="PATH=VALUE", help="Only cells with this value; repeatable."),
]
MetricOption = Annotated[
    str | None,
    typer.Option("--metric", metavar="NAME", help="Another headline than the study's metric."),
]
RESULTS = Path("results")


def load_study(path: Path) -> Study:
    """Read a study file with all environment kinds and workloads that there are."""
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
    """Return the store that a study file, a results folder or a study's name means."""
    from bench.store.folder import Store

    path = Path(text)
    if path.is_dir():
        return Store(path)
    if path.suffix == ".toml" and not path.is_file():
        study_file(text)
    return Store(results / path.stem)


def with_results(text: str, results: Path) -> Store:
    """Return the store, or raise StudyError when it has no results yet."""
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
    """Return the test that ``--where`` means."""
    from bench.plan import matches

    wanted = conditions(where)
    return lambda cell: matches(cell, wanted)


def chosen_metric(
    option: str | None,
    known: Results,
    study: Study | None = None,
    bundles: Mapping[str, Bundle] | None = None,
) -> str:
    """Return the headline: the option, else the study's, else that of the latest session's study.

    UserError for an option that neither the results nor the study's own ``bundles`` (by digest)
    have; without any of them nobody can tell.
    """
    from bench.analysis.runs.metrics import names
    from bench.records.metrics import TIME

    latest = known.latest.study if known.latest is not None else None
    stated = study or latest
    if option is None:
        return TIME if stated is None else stated.metric
    own = {name for bundle in (bundles or {}).values() for name in bundle.metrics}
    allowed = list(dict.fromkeys([*names(known.runs, known.bundles), *sorted(own)]))
    if option not in allowed and (known.runs or own):
        near = nearest(option, allowed)
        raise UserError(
            f"--metric {option}: no such metric here; allowed: {', '.join(allowed)}",
            remedy=near,
        )
    return option


def print_json(verb: str, study: str, data: object, findings: Iterable[Finding] = ()) -> None:
    """Print the one document that ``--json`` promises."""
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
    """Return a rich console; plain and unwrapped when it is not a terminal."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made = Console(stderr=stderr, highlight=False, width=160, no_color=True)
    return made
