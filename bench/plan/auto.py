"""The plan that adds repeats until every interval is narrow enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from bench.analysis.runs.headline import headline
from bench.analysis.runs.metrics import rule_for
from bench.analysis.statistics.interval import LEVEL, deviation, estimate, t_quantile
from bench.plan.fixed import Fixed, WideInterval
from bench.plan.progress import Index
from bench.records.study import LEAST_BLOCKS, Cell

STOPPING_LEVEL = 0.99  # level of the interval that decides; the one that is reported has LEVEL
EXTRA_BLOCKS = 3  # blocks after the decision


class Auto(Fixed):
    """Adds whole blocks until every cell's interval is within the study's ``width``.

    After 3 blocks, and after each further one, it looks at the runs of each plot's blocks so far.
    When the 99 % interval of every cell (Student's t on log times) is within the width, high end
    minus low end over the middle, it plans 3 blocks more and stops; ``repeats`` blocks are the
    limit. Both margins are there because stopping at the first narrow interval stops where the
    spread looks smaller than it is: the 95 % intervals reported then held the truth in as few as
    90 % of simulated campaigns, with the stricter level alone in 91 %, with both in 93.5 to 96.5 %
    (limits of 6 to 60 blocks; lognormal times, and log times Student t with 3 degrees of freedom:
    tests/analysis/test_coverage.py). The reported interval may still be wider than asked for,
    mostly where the limit is near; ``wide`` names the cells. Sequential stopping by width:
    Anscombe, "Large-sample theory of sequential estimation", Proc. Cambridge Phil. Soc. 48 (1952)
    600-607.

    A case without any good run decides nothing, so what always fails is not repeated to the limit.
    """

    @property
    def min_repeats(self) -> int:
        """Return how many repeats it makes where the first look is the last."""
        first = math.ceil(LEAST_BLOCKS / self._step) * self._step
        return self._after(first, self.study.repeats)

    def planned(self, index: Index, session: str = "") -> list[Cell]:
        """Return the cells of the blocks that the runs so far call for, plot by plot."""
        found: list[Cell] = []
        for plot in self.plots:
            needed = self._needed(plot, index, session)
            found += [cell for block in plot[:needed] for cell in block]
        return found

    def wide(self, index: Index) -> list[WideInterval]:
        """Return the cases with good runs whose reported interval is wider than the study wants."""
        found = []
        for first, values in (one for plot in self.plots for one in self._values(plot, index)):
            interval = estimate(values, LEVEL)
            if interval is None:
                continue
            width = None
            if interval.low is not None and interval.high is not None:
                middle = abs(interval.mid)
                width = (interval.high - interval.low) / middle if middle else math.inf
            if width is None or width > self._width:
                found.append(WideInterval(cell=first, width=width, runs=len(values)))
        return found

    @property
    def _width(self) -> float:
        return self.study.width if self.study.width is not None else math.inf

    def _needed(self, plot: Sequence[Sequence[Cell]], index: Index, session: str) -> int:
        """Return how many blocks of a plot are called for; the same for the same runs, always."""
        for number in range(LEAST_BLOCKS, len(plot)):
            if number % self._step:
                continue
            blocks = plot[:number]
            if not all(self._done(cell, index, session) for block in blocks for cell in block):
                return number
            if self._narrow(blocks, index):
                return self._after(number, len(plot))
        return len(plot)

    @property
    def _step(self) -> int:
        return 2 if self.study.order == "abba" else 1

    def _after(self, number: int, most: int) -> int:
        """Return how many blocks there are in the end where so many were narrow enough."""
        return min(most, math.ceil((number + EXTRA_BLOCKS) / self._step) * self._step)

    def _narrow(self, blocks: Sequence[Sequence[Cell]], index: Index) -> bool:
        """Return whether these blocks alone make every interval narrow enough to stop."""
        return all(
            width_of(values, STOPPING_LEVEL) <= self._width
            for _, values in self._values(blocks, index)
            if values
        )

    def _values(
        self, blocks: Sequence[Sequence[Cell]], index: Index
    ) -> list[tuple[Cell, list[float]]]:
        """Return each case's first cell with its good runs' numbers of the study's metric."""
        cases: dict[str, tuple[Cell, list[float]]] = {}
        for cell in (cell for block in blocks for cell in block):
            _, values = cases.setdefault(cell.series, (cell, []))
            run = index.run(cell)
            if run is None:
                continue
            metric = rule_for(self.study.metric, [run], self._bundles)
            head = headline(run, metric)
            if head is not None and (head.value > 0 or not metric.is_time):
                values.append(head.value)
        return list(cases.values())


def width_of(values: Sequence[float], level: float) -> float:
    """Return the width of the middle's t interval over that middle; inf below 2 runs.

    Of positive values the middle is the geometric mean: with half-width h on the log scale the
    width is exp(h) - exp(-h). Else it is the mean, and the width 2 h over its amount.
    """
    n = len(values)
    if n < 2:
        return math.inf
    quantile = t_quantile(0.5 + level / 2, n - 1) / math.sqrt(n)
    if min(values) > 0:
        return 2 * math.sinh(quantile * deviation([math.log(value) for value in values]))
    middle = abs(fmean(values))
    return 2 * quantile * deviation(values) / middle if middle else math.inf
