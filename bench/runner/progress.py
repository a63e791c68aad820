"""How far a session is: which cells are done, and who follows it."""

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
    """Who follows a campaign; its methods are called from several threads, never two at once."""

    def begin(self, planned: int, wanted: Sequence[Cell], runs: Sequence[Run]) -> None:
        """A session begins: so many cells are planned, these are to run, those runs are known."""

    def cell(self, cell: Cell, attempt: int) -> None:
        """A cell begins; others may be running."""

    def stage(self, cell: Cell, text: str) -> None:
        """A running cell is now at this phase or pipeline stage."""

    def finished(self, run: Run) -> None:
        """A cell has its run."""

    def more(self, cells: Sequence[Cell]) -> None:
        """The plan adds these cells, from what the runs so far have shown."""

    def note(self, text: str) -> None:
        """Something happened that the user may want to know."""


class CampaignSummary(msgspec.Struct, frozen=True, kw_only=True):
    """How a session ended: its runs by status, the planned cells that still have to run
    (``remaining``) and those without a good run that are not tried again (``unsuccessful``),
    skipped ones apart."""

    ok: int = 0
    failed: int = 0
    timeout: int = 0
    skipped: int = 0
    remaining: int = 0
    unsuccessful: int = 0
    session: str = ""


class Progress:
    """What a session has done of its plan; all lanes tell it and ask it, one at a time."""

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
        """Tell the listener that the session begins; return the cells that are to run."""
        with self._lock:
            wanted = self.remaining()
            self._listener.begin(len(self.plan.planned(self._index)), wanted, runs)
            return wanted

    def remaining(self) -> list[Cell]:
        """Return the cells that are to run now, in their order."""
        with self._lock:
            cells = self.plan.remaining(self._index, self._session)
            return [cell for cell in cells if self._where(cell)]

    def more(self, among: Callable[[Cell], bool] = lambda cell: True) -> list[Cell]:
        """Return the cells that the plan adds by now, and tell the listener of them."""
        with self._lock:
            cells = [cell for cell in self.remaining() if among(cell)]
            if cells:
                self._listener.more(cells)
            return cells

    def attempts(self, cell: Cell) -> int:
        """Return how often a cell was tried without success."""
        with self._lock:
            return self._index.attempts(cell)

    def cell(self, cell: Cell, attempt: int) -> None:
        """A cell begins."""
        with self._lock:
            self._listener.cell(cell, attempt)

    def stage(self, cell: Cell, text: str) -> None:
        """A running cell is now at this phase or stage."""
        with self._lock:
            self._listener.stage(cell, text)

    def finished(self, run: Run) -> None:
        """Count a run that is on the disk."""
        with self._lock:
            self._index.add(run)
            self._counts[run.status] += 1
            self._listener.finished(run)

    def note(self, text: str) -> None:
        """Tell the user something."""
        with self._lock:
            self._listener.note(text)

    def summary(self) -> CampaignSummary:
        """Return how the session ended."""
        with self._lock:
            index, session = self._index, self._session
            remaining = len(self.plan.remaining(index, session))
            bad = sum(
                not index.ok(cell) and not index.skipped(cell, session)
                for cell in self.plan.planned(index, session)
            )
            for one in self.plan.wide(index):
                self._listener.note(f"still wide: {one.describe()}")
            return CampaignSummary(
                ok=self._counts["ok"],
                failed=self._counts["failed"],
                timeout=self._counts["timeout"],
                skipped=self._counts["skipped"],
                remaining=remaining,
                unsuccessful=bad - remaining,
                session=session,
            )
