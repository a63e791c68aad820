"""``benchcast report --watch``: rewrite the page as results arrive."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from bench.analysis.study_types import StudyAnalysis

POLL = 2.0  # seconds between two looks at the folder


def follow(
    results: Path,
    analysed: Callable[[], StudyAnalysis],
    folder: Path,
    *,
    open_: bool = False,
    poll: float = POLL,
) -> None:
    """Write the page into ``folder`` when ``results`` grow and the analysis changes.

    Returns on Ctrl-C. It may start before there are results. With ``open_``, the first page opens
    in a browser. Prints one line for each page.
    """
    from bench import report as pages
    from bench.report.answer import counts

    seen: dict[str, tuple[int, int]] = {}
    shown: StudyAnalysis | None = None
    try:
        if not state(results):
            typer.echo(f"waiting for results in {results}; Ctrl-C ends")
        while True:
            now = state(results)  # before reading: later changes are seen the next time
            if now != seen:
                analysis = analysed()
                if analysis != shown:
                    page = pages.write(analysis, folder)
                    typer.echo(f"page: {page} ({counts(analysis)})")
                    if open_ and shown is None:
                        typer.launch(page.resolve().as_uri())
                    shown = analysis
                seen = now
            time.sleep(poll)
    except KeyboardInterrupt:
        return


def state(results: Path) -> dict[str, tuple[int, int]]:
    """Return size (bytes) and time of each results file; a run's folder exists before its line.

    A file that disappears meanwhile is left out.
    """
    states = {}
    for path in results.glob("*.jsonl"):
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        states[path.name] = (stat.st_size, stat.st_mtime_ns)
    return states
