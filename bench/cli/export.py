"""``benchcast export``: results in another tool's format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.common import (
    RESULTS,
    JsonOption,
    ResultsOption,
    StudyArgument,
    print_json,
    with_results,
)
from bench.errors import StorageFailed, UserError


def _formats() -> list[str]:
    from bench import exporters

    return list(exporters.names())


def export(
    format_: Annotated[
        str,
        typer.Argument(metavar="FORMAT", help="Such as parquet.", autocompletion=_formats),
    ],
    study: StudyArgument,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write; default exports/STUDY.FORMAT.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write into a folder that has files.")
    ] = False,
    results: ResultsOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """Write a study's results in the format of another tool."""
    from bench import exporters

    exporter = exporters.find(format_)
    store = with_results(study, results)
    folder = out or Path("exports") / f"{store.root.name}.{format_}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not force and any(folder.iterdir()):
            raise UserError(f"{folder} has files", remedy="choose another --out, or --force")
        what = exporters.Export(study=store.root.name, results=store.read(), folder=folder)
        files = exporter(what)
    except OSError as error:
        raise StorageFailed(
            f"{folder} cannot be written ({error.strerror or error})", remedy="choose another --out"
        ) from error
    if json:
        print_json("export", store.root.name, {"files": [str(path) for path in files]})
        return
    for path in files:
        typer.echo(f"wrote {path}")
