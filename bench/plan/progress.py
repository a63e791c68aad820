"""Which cells are done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from bench.records.results import (
    Run,
)
from bench.records.study import Cell


class Index:
    """Which cells are done: looked up, not searched."""

    def __init__(self, runs: Sequence[Run] = (), crashes: Sequence[str] = ()) -> None:
        """``crashes`` are the keys of starts whose harness died, one entry a start."""
        self._ok: dict[str, Run] = {}
        self._failed: defaultdict[str, int] = defaultdict(int)
        self._skipped: dict[str, str] = {}
        self._crashes: defaultdict[str, int] = defaultdict(int)
        for key in crashes:
            self._crashes[key] += 1
        for run in runs:
            self.add(run)

    def add(self, run: Run) -> None:
        """Count one more run."""
        key = run.cell.key
        if run.status == "ok":
            self._ok[key] = run
        elif run.status == "skipped":
            self._skipped[key] = run.session
        else:
            self._failed[key] += 1

    def ok(self, cell: Cell) -> bool:
        """Return whether the cell has a good run."""
        return cell.key in self._ok

    def run(self, cell: Cell) -> Run | None:
        """Return the cell's latest good run, or None."""
        return self._ok.get(cell.key)

    def attempts(self, cell: Cell) -> int:
        """Return how often it failed; two starts that took the harness down count as one."""
        return self._failed[cell.key] + self._crashes[cell.key] // 2

    def took_down(self, cell: Cell) -> bool:
        """Return whether it is given up because its starts took the harness down."""
        return self._crashes[cell.key] > 1 and cell.key not in self._ok

    def skipped(self, cell: Cell, session: str) -> bool:
        """Return whether it was skipped in this session."""
        return self._skipped.get(cell.key) == session
