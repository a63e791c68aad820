"""A report's folder: the page, Markdown, CSV and pictures, each written whole or not at all."""

from __future__ import annotations

import secrets
from pathlib import Path

from bench.analysis.study_types import StudyAnalysis
from bench.errors import StorageFailed


def write(analysis: StudyAnalysis, folder: Path) -> Path:
    """Write the report into ``folder`` and return its page, ``index.html``.

    Beside it lie ``report.md``, the sections' tables as CSV and ``figures/*.svg|png``; a file is
    replaced as a whole. StorageFailed where the folder cannot be written.
    """
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        for name, content in _files(analysis).items():
            _replace(folder / name, content)
    except OSError as error:
        raise StorageFailed(
            f"the report cannot be written to {folder}: {error.strerror or error}",
            remedy="choose another folder, or make room in it",
        ) from error
    return folder / "index.html"


def _files(analysis: StudyAnalysis) -> dict[str, bytes]:
    """Return the content of every file by its name, the page last: it speaks of the others."""
    from bench.report import figures, markdown, page
    from bench.report.sections import SECTIONS

    drawn = figures.draw(analysis)
    files = {
        f"{table.name}.csv": table.csv().encode()
        for section in SECTIONS
        if section.applies(analysis)
        for table in section.tables(analysis)
        if table.name
    }
    files["report.md"] = markdown.render(analysis, drawn).encode()
    for one in drawn:
        files[f"figures/{one.name}.svg"] = one.svg.encode()
        files[f"figures/{one.name}.png"] = one.png
    return {**files, "index.html": page.render(analysis, drawn).encode()}


def _replace(path: Path, content: bytes) -> None:
    """Write a file under another name and rename it into place."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
