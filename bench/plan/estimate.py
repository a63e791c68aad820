"""How long cells take, from the runs so far."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from bench.records.results import Run
from bench.records.study import Cell


class Estimate:
    """How long cells take, from the runs so far: the mean of the same case, else of all."""

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        """Begin with these runs."""
        self._sums: dict[tuple[str, str, int], tuple[float, int]] = {}
        self._all = (0.0, 0)
        for run in runs:
            self.add(run)

    def add(self, run: Run) -> None:
        """Count one more run; skipped ones took no time and teach nothing."""
        seconds = sum(value for name, value in run.phases.items() if name != "queue")
        if run.status == "skipped" or not seconds:
            return
        total, count = self._sums.get(_case_of(run.cell), (0.0, 0))
        self._sums[_case_of(run.cell)] = (total + seconds, count + 1)
        self._all = (self._all[0] + seconds, self._all[1] + 1)

    def longest(self, cells: Iterable[Cell], lanes: Iterable[Collection[str]]) -> float | None:
        """Return the seconds that cells take when lanes of environments run side by side."""
        cells = list(cells)
        each = [self.seconds(c for c in cells if c.environment in names) for names in lanes]
        return max((one for one in each if one is not None), default=None)

    def seconds(self, cells: Iterable[Cell]) -> float | None:
        """Return the seconds that these cells will take, or None while nothing is known."""
        if not self._all[1]:
            return None
        total = 0.0
        for cell in cells:
            spent, count = self._sums.get(_case_of(cell), self._all)
            total += spent / count
        return total


def _case_of(cell: Cell) -> tuple[str, str, int]:
    return cell.workload, cell.environment, cell.workers
