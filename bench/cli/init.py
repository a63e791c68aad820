"""``benchcast init``: write a starting study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.errors import UserError


def init(
    path: Annotated[Path, typer.Argument(help="The study file to write.")] = Path("study.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Write a starting study, with comments, that runs on this machine."""
    from bench.study import skeleton

    if path.suffix != ".toml":
        raise UserError(f"{path}: a study file ends in .toml", remedy=f"try {path}.toml")
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(skeleton())
    except FileExistsError as error:
        raise UserError(f"{path} exists", remedy="choose another name, or --force") from error
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror})") from error
    typer.echo(f"wrote {path}; next: benchcast doctor {path}, then benchcast run {path}")
