"""The plan that runs every cell of a study once."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bench.errors import StudyError
from bench.plan.order import plots
from bench.plan.progress import Index
from bench.records import identity
from bench.records.results import Bundle
from bench.records.study import Case, Cell, Study


class WideInterval(msgspec.Struct, frozen=True, kw_only=True):
    """A case whose interval is wider than the study wants: the cell of its first repeat, the
    ``width`` as a share of the middle (None: no interval) and how many good ``runs`` it has.
    """

    cell: Cell
    width: float | None
    runs: int

    def describe(self) -> str:
        """Return the case and its width in words."""
        one = self.cell
        extra = [f"{path} = {value}" for path, value in one.factors.items() if path != "workers"]
        plural = "" if one.workers == 1 else "s"
        words = [f"{one.workload} on {one.environment}", f"{one.workers} worker{plural}", *extra]
        width = "no interval" if self.width is None else f"width {self.width:.3g} of the middle"
        return f"{', '.join(words)}: {width} after {self.runs} runs"


class Fixed:
    """The plan that runs every cell of the study once, ``repeats`` runs a case."""

    def __init__(
        self,
        study: Study,
        *,
        skipped: Mapping[int, str] | None = None,
        retry: Index | None = None,
        bundles: Mapping[str, Bundle] | None = None,
    ) -> None:
        """Lay out the cells of a study whose cases are resolved.

        ``skipped`` maps a case's position in the study to the reason why it cannot run here. With
        ``retry`` the cells that failed in it get one more attempt each. ``bundles`` (by digest)
        declare the study's metric. ``cells`` are all that the plan may run, ``plots`` the same by
        plot and block.
        """
        self.study = study
        self._bundles = bundles or {}
        self._cases: dict[str, Case] = {}
        self._allowed: dict[str, int] = {}
        self._skipped: dict[str, str] = {}
        self.cells: list[Cell] = []
        self.plots: list[list[list[Cell]]] = []
        by_case = [identity.cells(case, study.repeats) for case in study.cases]
        for plot in plots(study):
            blocks: list[list[Cell]] = []
            for repeat, block in enumerate(plot):
                blocks.append([])
                for position in block:
                    cell = by_case[position][repeat]
                    self._add(cell, study.cases[position])
                    blocks[-1].append(cell)
                    if skipped and position in skipped:
                        self._skipped[cell.key] = skipped[position]
            self.plots.append(blocks)
        if retry is not None:
            self._retry(retry)

    def _add(self, cell: Cell, case: Case) -> None:
        if cell.key in self._cases:
            raise StudyError(
                f"two cells of the study are the same: {case.workload} on {case.environment}, "
                f"{case.workers} workers",
                remedy="remove one of them, or raise repeats",
            )
        self._cases[cell.key] = case
        self._allowed[cell.key] = 1 + case.policy.retries
        self.cells.append(cell)

    @property
    def min_repeats(self) -> int:
        """Return how many repeats the plan makes at least."""
        return self.study.repeats

    def case(self, cell: Cell) -> Case:
        """Return the case of a cell."""
        return self._cases[cell.key]

    def attempts(self, cell: Cell) -> int:
        """Return how often a cell may be started in all."""
        return self._allowed[cell.key]

    def reason_to_skip(self, cell: Cell) -> str:
        """Return why a cell cannot run here, or an empty string."""
        return self._skipped.get(cell.key, "")

    def planned(self, index: Index, session: str = "") -> list[Cell]:
        """Return the cells that are to run as far as the runs so far decide it, done or not."""
        return self.cells

    def remaining(self, index: Index, session: str = "") -> list[Cell]:
        """Return the planned cells that are not done, in their order."""
        planned = self.planned(index, session)
        return [cell for cell in planned if not self._done(cell, index, session)]

    def next(self, index: Index, session: str = "") -> Cell | None:
        """Return the first planned cell that is not done, or None."""
        planned = self.planned(index, session)
        return next((cell for cell in planned if not self._done(cell, index, session)), None)

    def wide(self, index: Index) -> list[WideInterval]:
        """Return the cases whose interval is wider than the study wants; a fixed plan asks not."""
        return []

    def _done(self, cell: Cell, index: Index, session: str) -> bool:
        if index.ok(cell) or index.skipped(cell, session):
            return True
        return index.attempts(cell) >= self._allowed[cell.key]

    def _retry(self, failed: Index) -> None:
        for cell in self.cells:
            attempts = failed.attempts(cell)
            if not failed.ok(cell) and attempts >= self._allowed[cell.key]:
                self._allowed[cell.key] = attempts + 1


def matches(cell: Cell, where: Mapping[str, str]) -> bool:
    """Return whether a cell has these values, by path: a factor, or workload, environment,
    workers, repeat. A factor's last part will do (``memory`` for ``worker.memory``).
    """
    known: dict[str, object] = {
        "workload": cell.workload,
        "environment": cell.environment,
        "workers": cell.workers,
        "repeat": cell.repeat,
    }
    for path, value in cell.factors.items():
        known.setdefault(path.rpartition(".")[2], value)
        known[path] = value
    return all(path in known and str(known[path]) == value for path, value in where.items())
