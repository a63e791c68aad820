"""Which cell is next. Pure: it knows the study and the runs so far, no files and no clocks.

An environment is the whole plot of the experiment: all its cells run before the next
environment's. Within it, a block is one repeat of every case, in an order of its own that the
study's seed decides, so that slow drift of the machine falls on all cases alike.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

import msgspec

from bench.canonical import digest
from bench.errors import StudyError
from bench.model import Case, Cell, Run, Study
from bench.store import Index


class Fixed:
    """The plan that runs every cell of the study once, ``repeats`` runs a case."""

    def __init__(
        self,
        study: Study,
        bundles: Mapping[str, str],
        identities: Mapping[str, Mapping[str, str]],
        *,
        skipped: Mapping[int, str] | None = None,
        retry: Index | None = None,
    ) -> None:
        """Lay out the cells.

        ``bundles`` maps a case's ``use`` to its bundle digest, ``identities`` an environment's
        name to the facts of its machines, ``skipped`` a case's position in the study to the
        reason why it cannot run here. With ``retry`` the cells that failed in it get one more
        attempt each.
        """
        self._cases: dict[str, Case] = {}
        self._skipped: dict[str, str] = {}
        self.cells: list[Cell] = []
        kinds = {environment.name: environment for environment in study.environments}
        for environment in study.environments:
            mine = [n for n, case in enumerate(study.cases) if case.environment == environment.name]
            for repeat in range(study.repeats):
                block = mine[:]
                random.Random(f"{study.seed}/{environment.name}/{repeat}").shuffle(block)
                for position in block:
                    case = study.cases[position]
                    facts = identities.get(case.environment, {})
                    spec = kinds[case.environment]
                    place = {"kind": spec.kind, **spec.settings}
                    cell = _cell(case, repeat, bundles[case.use], facts, place)
                    self._add(cell, case)
                    if skipped and position in skipped:
                        self._skipped[cell.key] = skipped[position]
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
        self.cells.append(cell)

    def case(self, cell: Cell) -> Case:
        """Return the case of a cell."""
        return self._cases[cell.key]

    def reason_to_skip(self, cell: Cell) -> str:
        """Return why a cell cannot run here, or an empty string."""
        return self._skipped.get(cell.key, "")

    def remaining(self, index: Index, session: str = "") -> list[Cell]:
        """Return the cells that are not done, in their order."""
        return [cell for cell in self.cells if not self._done(cell, index, session)]

    def next(self, index: Index, session: str = "") -> Cell | None:
        """Return the first cell that is not done, or None."""
        for cell in self.cells:
            if not self._done(cell, index, session):
                return cell
        return None

    def _done(self, cell: Cell, index: Index, session: str) -> bool:
        if index.ok(cell) or index.skipped(cell, session):
            return True
        allowed = 1 + self._cases[cell.key].retries
        return index.attempts(cell) >= allowed

    def _retry(self, failed: Index) -> None:
        for cell in self.cells:
            case = self._cases[cell.key]
            attempts = failed.attempts(cell)
            if not failed.ok(cell) and attempts > case.retries:
                self._cases[cell.key] = msgspec.structs.replace(case, retries=attempts)


def _cell(
    case: Case,
    repeat: int,
    bundle: str,
    identity: Mapping[str, str],
    place: Mapping[str, object],
) -> Cell:
    facts: dict[str, object] = {
        "params": case.params,
        "dataset": msgspec.to_builtins(case.dataset),
        "place": dict(place),
        "worker": msgspec.to_builtins(case.worker),
        "driver": msgspec.to_builtins(case.driver),
        "conf": case.conf,
        "workers": case.workers,
        "passes": case.passes,
        "stages": case.stages,
        "use": case.use,
        "identity": dict(identity),
    }
    return Cell(
        key=digest({**facts, "bundle": bundle, "repeat": repeat}),
        series=digest(facts),
        workload=case.workload,
        environment=case.environment,
        workers=case.workers,
        factors=case.factors,
        repeat=repeat,
    )


def matches(cell: Cell, where: Mapping[str, str]) -> bool:
    """Return whether a cell has these values, by path: a factor, or workload, environment,
    workers, repeat. A factor's last part will do (``memory`` for ``worker.memory``)."""
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
