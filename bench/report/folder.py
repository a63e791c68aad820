"""A report's folder: the page, Markdown, CSV and pictures, each written whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from bench.analysis.study_types import StudyAnalysis
from bench.errors import StorageFailed


def write(overview: StudyAnalysis, folder: Path) -> Path:
    """Write the report into ``folder`` and return its page, ``index.html``.

    Beside it lie ``report.md``, ``runs.csv``, ``cells.csv`` and ``figures/*.svg|png``; a file is
    replaced as a whole. StorageFailed where the folder cannot be written.
    """
    from bench.report import figures, markdown, page, tables

    drawn = figures.draw(overview)
    files: dict[str, bytes] = {
        "runs.csv": tables.runs(overview).encode(),
        "cells.csv": tables.cells(overview).encode(),
        "report.md": markdown.render(overview, drawn).encode(),
    }
    for one in drawn:
        files[f"figures/{one.name}.svg"] = one.svg.encode()
        files[f"figures/{one.name}.png"] = one.png
    files["index.html"] = page.render(overview, drawn).encode()  # last: it speaks of the others
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            _replace(folder / name, content)
    except OSError as error:
        raise StorageFailed(
            f"the report cannot be written to {folder}: {error.strerror or error}",
            remedy="choose another folder, or make room in it",
        ) from error
    return folder / "index.html"


def _replace(path: Path, content: bytes) -> None:
    """Write a file under another name and rename it into place."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
