"""The progress of a session, and the listener that follows it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from bench.plan import Fixed
from bench.plan.progress import Index
from bench.records.results import Run
from bench.records.study import Cell


class Listener(Protocol):
    """Follows a campaign; several threads call its methods, one call at a time."""

    def begin(self, planned: int, wanted: Sequence[Cell], runs: Sequence[Run]) -> None:
        """Start a session: number of planned cells, cells to run, and earlier runs."""

    def cell(self, cell: Cell, attempt: int) -> None:
        """Show that a cell starts; others may be running."""

    def stage(self, cell: Cell, text: str) -> None:
        """Show the phase or pipeline stage of a running cell."""

    def finished(self, run: Run) -> None:
        """Show the finished run of a cell."""

    def more(self, cells: Sequence[Cell]) -> None:
        """Show that the plan adds these cells, because of the runs so far."""

    def note(self, text: str) -> None:
        """Show a message."""


class CampaignSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a session: its runs by status, and its cells without a good run.

    ``remaining`` cells still have to run; ``unsuccessful`` ones are not tried again (skipped
    cells do not count).
    """

    ok: int = 0
    failed: int = 0
    timeout: int = 0
    skipped: int = 0
    remaining: int = 0
    unsuccessful: int = 0
    session: str = ""


class Progress:
    """The finished part of a session's plan; all lanes update and query it, one at a time."""

    def __init__(
        self,
        plan: Fixed,
        index: Index,
        listener: Listener,
        session: str,
        where: Callable[[Cell], bool],
    ) -> None:
        """``where`` selects the cells of the plan that this session runs."""
        self.plan = plan
        self._index = index
        self._listener = listener
        self._session = session
        self._where = where
        self._counts: Counter[str] = Counter()
        self._lock = threading.RLock()

    def begin(self, runs: Sequence[Run]) -> list[Cell]:
        """Tell the listener that the session starts; return the cells to run."""
        with self._lock:
            wanted = self.remaining()
            self._listener.begin(len(self.plan.planned(self._index)), wanted, runs)
            return wanted

    def remaining(self) -> list[Cell]:
        """Return the cells to run now, in order."""
        with self._lock:
            cells = self.plan.remaining(self._index, self._session)
            return [cell for cell in cells if self._where(cell)]

    def more(self, among: Callable[[Cell], bool] = lambda _: True) -> list[Cell]:
        """Return the cells that the plan adds now, and tell the listener."""
        with self._lock:
            cells = [cell for cell in self.remaining() if among(cell)]
            if cells:
                self._listener.more(cells)
            return cells

    def attempts(self, cell: Cell) -> int:
        """Return a cell's number of unsuccessful attempts."""
        with self._lock:
            return self._index.attempts(cell)

    def cell(self, cell: Cell, attempt: int) -> None:
        """Report that a cell starts."""
        with self._lock:
            self._listener.cell(cell, attempt)

    def stage(self, cell: Cell, text: str) -> None:
        """Report the phase or stage of a running cell."""
        with self._lock:
            self._listener.stage(cell, text)

    def finished(self, run: Run) -> None:
        """Count a stored run."""
        with self._lock:
            self._index.add(run)
            self._counts[run.status] += 1
            self._listener.finished(run)

    def note(self, text: str) -> None:
        """Pass a message to the user."""
        with self._lock:
            self._listener.note(text)

    def summary(self) -> CampaignSummary:
        """Return the session's summary."""
        with self._lock:
            index, session = self._index, self._session
            remaining = len(self.plan.remaining(index, session))
            bad = sum(
                not index.ok(cell) and not index.skipped(cell, session)
                for cell in self.plan.planned(index, session)
            )
            for wide in self.plan.wide(index):
                self._listener.note(f"still wide: {wide.describe()}")
            return CampaignSummary(
                ok=self._counts["ok"],
                failed=self._counts["failed"],
                timeout=self._counts["timeout"],
                skipped=self._counts["skipped"],
                remaining=remaining,
                unsuccessful=bad - remaining,
                session=session,
            )
