"""Shows a campaign's progress: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from bench.plan import Estimate
from bench.text import plural
from bench.units import format_duration

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from bench.records.results import Run
    from bench.records.study import Cell


@contextlib.contextmanager
def follow(console: Console, lanes: Sequence[Collection[str]]) -> Iterator[Lines]:
    """Yield a listener that prints on this console; ``lanes`` name environments side by side."""
    if not console.is_terminal:
        yield Lines(console, lanes)
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        console=console,
        transient=True,
    )
    with progress:
        yield Bar(progress, lanes)


def name(cell: Cell) -> str:
    """Return a description of a cell."""
    extra = [f"{k}={v}" for k, v in cell.factors.items() if k != "workers"]
    cell_ = f"{cell.workload} on {cell.environment}, {plural(cell.workers, 'worker')}"
    return ", ".join([cell_, *extra, f"repeat {cell.repeat + 1}"])


def ending(run: Run) -> str:
    """Return a description of a finished run."""
    if run.status == "ok":
        work = run.phases.get("work")
        return f"ok, work {work:.1f} s" if work is not None else "ok"
    return f"{run.status}: {run.reason}"


class Lines:
    """Prints plain lines: one when a cell starts and one when it ends."""

    def __init__(self, console: Console, lanes: Sequence[Collection[str]]) -> None:
        """Print on this console; ``lanes`` serve to estimate the remaining time."""
        self._lanes = lanes
        self._console = console
        self.notes: list[str] = []
        self._wanted: list[Cell] = []
        self._running: dict[str, Cell] = {}
        self._estimate = Estimate()
        self._total = self._done = 0

    def begin(self, planned: int, wanted: Sequence[Cell], runs: Sequence[Run]) -> None:
        """Print how many cells there are."""
        self._wanted, self._total = list(wanted), len(wanted)
        self._estimate = Estimate(runs)
        self._print(f"{planned} cells planned, {len(wanted)} to run")

    def cell(self, cell: Cell, attempt: int) -> None:
        """Print the cell that starts."""
        self._running[cell.key] = cell
        again = f" (attempt {attempt})" if attempt > 1 else ""
        self._print(f"[{self._done + len(self._running)}/{self._total}] {name(cell)}{again}")

    def stage(self, cell: Cell, text: str) -> None:
        """Print nothing: stages change too fast for lines."""

    def finished(self, run: Run) -> None:
        """Print how the cell ended, and the estimated remaining time."""
        which = f"{name(run.cell)}: " if len(self._running) > 1 else ""
        self._count(run)
        self._print(f"      {which}{ending(run)}{self._left()}")

    def more(self, cells: Sequence[Cell]) -> None:
        """Print how many cells the plan adds."""
        self._wanted += cells
        self._total += len(cells)
        self._print(f"{len(cells)} more cells, until the intervals are narrow enough")

    def note(self, text: str) -> None:
        """Print a note, and keep it for ``--json``."""
        self.notes.append(text)
        self._print(f"note: {text}")

    def _left(self) -> str:
        """Return the estimated remaining time as the end of a line."""
        seconds = self._estimate.longest(self._wanted, self._lanes)
        return f"; about {format_duration(seconds)} left" if seconds else ""

    def _count(self, run: Run) -> None:
        self._running.pop(run.cell.key, None)
        self._wanted = [cell for cell in self._wanted if cell.key != run.cell.key]
        self._done = self._total - len(self._wanted)
        self._estimate.add(run)

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)


class Bar(Lines):
    """Draws a bar, with a line for each running cell below and ended cells above."""

    def __init__(self, progress: Progress, lanes: Sequence[Collection[str]]) -> None:
        """Draw with this rich display."""
        super().__init__(progress.console, lanes)
        self._progress = progress
        self._task = progress.add_task("", total=None, left="", count="")
        self._rows: dict[str, TaskID] = {}

    def begin(self, planned: int, wanted: Sequence[Cell], runs: Sequence[Run]) -> None:
        """Set the bar's length to the number of cells."""
        super().begin(planned, wanted, runs)
        self._progress.update(self._task, description="cells")
        self._draw()

    def cell(self, cell: Cell, attempt: int) -> None:
        """Add a line for the cell."""
        self._running[cell.key] = cell
        if cell.key not in self._rows:
            row = self._progress.add_task(name(cell), total=None, left="", count="")
            self._rows[cell.key] = row
        self._draw()

    def more(self, cells: Sequence[Cell]) -> None:
        """Make the bar longer by these cells."""
        super().more(cells)
        self._draw()

    def stage(self, cell: Cell, text: str) -> None:
        """Show the stage beside its cell."""
        if (row := self._rows.get(cell.key)) is not None:
            self._progress.update(row, description=f"{name(cell)} · {text}")

    def finished(self, run: Run) -> None:
        """Print the finished cell and advance the bar."""
        if (row := self._rows.pop(run.cell.key, None)) is not None:
            self._progress.remove_task(row)
        self._count(run)
        self._print(f"{name(run.cell)}: {ending(run)}")
        self._draw()

    def _draw(self) -> None:
        """Draw the bar and the time left."""
        self._progress.update(
            self._task,
            total=self._total,
            completed=self._done,
            count=f"{self._done}/{self._total}",
            left=self._left().lstrip("; "),
        )
