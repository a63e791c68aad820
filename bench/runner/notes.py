"""What hosts and platforms report beside their answers: to the user, and to the run it is about.

Rooms below log what they go on without (no samples, a spare host in another's place). Here is the
one handler of that: each text reaches the user once, and every run that it is about.
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
KIND = "note"  # of the event that a note is in a run's record


class Notes(logging.Handler):
    """Passes on what is logged; ``tell`` is called from any thread, one call at a time."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        """``tell`` takes one line for the user."""
        super().__init__(logging.WARNING)
        self._tell = tell
        self._told: set[str] = set()
        self._runs: dict[int, list[RunEvent]] = {}  # by thread

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one message on; the handler's own lock is held."""
        text = " ".join(record.getMessage().split())
        events = self._runs.get(record.thread or 0)
        if events is not None and all(event.text != text for event in events):
            events.append(RunEvent(at=utc_now(), kind=KIND, text=redact(text, LONGEST)))
        if text not in self._told:
            self._told.add(text)
            self._tell(text)

    @contextlib.contextmanager
    def of_run(self) -> Iterator[list[RunEvent]]:
        """Collect what this thread reports meanwhile: it is about the run that it makes."""
        events: list[RunEvent] = []
        thread = threading.get_ident()
        self._runs[thread] = events
        try:
            yield events
        finally:
            del self._runs[thread]


@contextlib.contextmanager
def listening(tell: Callable[[str], None]) -> Iterator[Notes]:
    """Pass on what is logged while this lasts."""
    notes = Notes(tell)
    logger = logging.getLogger("bench")
    logger.addHandler(notes)
    try:
        yield notes
    finally:
        logger.removeHandler(notes)
