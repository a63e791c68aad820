"""Where the core-seconds of TensorFlow ranks go, as far as their own reports tell."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bench.analysis.attribution.spark_tasks import ROUNDING, Ledger
from bench.records.results import StageTime

INPUT = ("source", "validate", "preprocess")  # pipeline stages in which ranks do not meet


class Rank(msgspec.Struct, frozen=True, kw_only=True):
    """One rank's report of a window: wall seconds and its pipeline stages (their
    ``driver_cpu`` is the CPU of this rank). ``collective`` and ``collective_cpu``: its seconds
    inside collectives, wall and CPU; None where the workload does not tell both.
    """

    rank: int
    wall: float
    stages: tuple[StageTime, ...]
    collective: float | None = None
    collective_cpu: float = 0.0


def share_ranks(ranks: Sequence[Rank], wall: float, cores: int, ledger: Ledger) -> None:
    """Add ranks x cores x wall core-seconds to the ledger.

    CPU is input or compute, by the stage; what a stage has of wall time without CPU is waiting:
    in input stages for storage or a core, in the others for other ranks or a core. With one
    rank there is no one to wait for in a collective, so it is contention.
    """
    over = 0.0
    for rank in ranks:
        over += _share_rank(rank, wall, cores, len(ranks) > 1, ledger)
    if over > ROUNDING:
        ledger.notes.append(f"stages exceed their ranks' wall time or cores by {over:.3g} s: cut")
    if len(ranks) > 1 and any(rank.collective is None for rank in ranks):
        ledger.notes.append(
            "the ranks do not report time inside collectives: waiting for each other and for a "
            "core cannot be told apart"
        )
    if cores > 1:
        ledger.notes.append(
            f"a rank has {cores} cores: threads that had nothing to do count as waiting"
        )


def _share_rank(rank: Rank, wall: float, cores: int, several: bool, ledger: Ledger) -> float:
    """Divide one rank; return the seconds by which its figures exceed what there was."""
    left = rank.wall
    over = waited = 0.0
    for stage in rank.stages:
        seconds = min(stage.wall, left)
        over += stage.wall - seconds
        left -= seconds
        if stage.driver_cpu is None:
            ledger.add("not known", seconds * cores)
            continue
        cpu = min(stage.driver_cpu, seconds * cores)
        over += stage.driver_cpu - cpu
        if stage.name in INPUT:
            ledger.add("input", cpu)
            ledger.add("input wait", seconds * cores - cpu)
        else:
            ledger.add("compute", cpu)
            waited += seconds * cores - cpu
    _share_waiting(rank, waited, cores, several, ledger)
    ledger.add("between stages", left * cores)
    ledger.add("idle slots", (wall - rank.wall) * cores)
    return over


def _share_waiting(rank: Rank, waited: float, cores: int, several: bool, ledger: Ledger) -> None:
    """Name the time of stages without CPU; a collective's own CPU stays compute."""
    if not several:
        ledger.add("contention", waited)
    elif rank.collective is None:
        ledger.add("collective wait and contention", waited)
    else:
        meeting = min(max(0.0, rank.collective * cores - rank.collective_cpu), waited)
        ledger.add("collective wait", meeting)
        ledger.add("contention", waited - meeting)
