"""``benchcast report --watch``: the page follows the results folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from bench.analysis.study_types import StudyAnalysis

POLL = 2.0  # seconds between looks at the folder


def follow(
    results: Path,
    analysed: Callable[[], StudyAnalysis],
    folder: Path,
    *,
    open_: bool = False,
    poll: float = POLL,
) -> None:
    """Write the page into ``folder`` when ``results`` grow and it says something new.

    Returns on Ctrl-C. It may begin before there are results. With ``open_`` the first page is
    opened in a browser. Each page is told in one line.
    """
    from bench import report as pages
    from bench.report.answer import counts

    seen: dict[str, tuple[int, int]] = {}
    shown: StudyAnalysis | None = None
    try:
        if not state(results):
            typer.echo(f"waiting for results in {results}; Ctrl-C ends")
        while True:
            now = state(results)  # before it is read: what comes meanwhile is seen the next time
            if now != seen:
                found = analysed()
                if found != shown:
                    page = pages.write(found, folder)
                    typer.echo(f"page: {page} ({counts(found)})")
                    if open_ and shown is None:
                        typer.launch(page.resolve().as_uri())
                    shown = found
                seen = now
            time.sleep(poll)
    except KeyboardInterrupt:
        return


def state(results: Path) -> dict[str, tuple[int, int]]:
    """Return size (bytes) and time of each results file; a run's folder is there before its line.

    A file that goes away meanwhile is left out.
    """
    found = {}
    for path in results.glob("*.jsonl"):
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        found[path.name] = (stat.st_size, stat.st_mtime_ns)
    return found
