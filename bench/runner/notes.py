"""Warnings of hosts and platforms: they reach the user, and the record of the affected run.

Lower packages log problems that do not stop them (no samples, a spare host instead of another).
This is the only handler: each text reaches the user once, and the record of every affected run.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

from bench.ids import utc_now
from bench.records.results import RunEvent
from bench.text import redact

LONGEST = 1000  # characters of a note in a record
KIND = "note"  # the kind of a note's event in a run's record


class Notes(logging.Handler):
    """Passes log messages on to ``report``, from any thread, one call at a time."""

    def __init__(self, report: Callable[[str], None]) -> None:
        """``report`` takes one line for the user."""
        super().__init__(logging.WARNING)
        self._report = report
        self._reported: set[str] = set()
        self._runs: dict[int, list[RunEvent]] = {}  # by thread

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one message on; logging holds the handler's lock."""
        text = " ".join(record.getMessage().split())
        events = self._runs.get(record.thread or 0)
        if events is not None and all(event.text != text for event in events):
            events.append(RunEvent(at=utc_now(), kind=KIND, text=redact(text, LONGEST)))
        if text not in self._reported:
            self._reported.add(text)
            self._report(text)

    @contextlib.contextmanager
    def of_run(self) -> Iterator[list[RunEvent]]:
        """Collect this thread's messages meanwhile: they concern the run that it executes."""
        events: list[RunEvent] = []
        thread = threading.get_ident()
        self._runs[thread] = events
        try:
            yield events
        finally:
            del self._runs[thread]


@contextlib.contextmanager
def listening(report: Callable[[str], None]) -> Iterator[Notes]:
    """Pass log messages on inside the ``with`` block."""
    notes = Notes(report)
    logger = logging.getLogger("bench")
    logger.addHandler(notes)
    try:
        yield notes
    finally:
        logger.removeHandler(notes)
