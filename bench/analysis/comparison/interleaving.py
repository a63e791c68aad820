"""Whether the runs of two curves were measured by turns or one curve after the other.

A machine that drifts (heat, neighbours, a filling disk) makes a difference out of nothing where
one curve was measured after the other; by turns, the drift is on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from bench.records.results import Run

APART = 0.5  # imbalance from which two curves count as measured one after the other


def notes(left: Sequence[Run], right: Sequence[Run], labels: tuple[str, str]) -> list[str]:
    """Return what the order of the runs (by their time-sortable ids) says against a comparison.

    ``labels`` name the two sides. Runs of different sessions are never interleaved.
    """
    mine, theirs = _by_session(left), _by_session(right)
    shared = [session for session in mine if session in theirs]
    if mine and theirs and not shared:
        return ["measured in different sessions, not interleaved: drift is not averaged out"]
    found = []
    alone = sum(len(ids) for ids in (*mine.values(), *theirs.values()))
    alone -= sum(len(mine[session]) + len(theirs[session]) for session in shared)
    if alone:
        found.append(
            f"{alone} of {len(left) + len(right)} runs were measured in sessions without the "
            "other side: drift is not averaged out there"
        )
    for session in shared:
        share = imbalance(mine[session], theirs[session])
        first, last = labels if min(mine[session]) < min(theirs[session]) else labels[::-1]
        if share == 1:
            found.append(
                f"not interleaved in session {session}: {first} was measured before {last}"
            )
        elif share > APART:
            found.append(
                f"hardly interleaved in session {session}: a steady drift counts with {share:.0%} "
                "of what it would if one side had been measured before the other"
            )
    return found


def imbalance(left: Sequence[str], right: Sequence[str]) -> float:
    """Return how much of a steady drift goes into the difference of two sides' means, 0..1.

    Under a time that grows linearly with a run's position, the means differ in proportion to the
    difference of mean positions; with all of one side first that is half the number of runs, and
    this is the unit: 1 is one side after the other, 0 perfect balance (A B B A).
    """
    position = {run: place for place, run in enumerate(sorted([*left, *right]))}
    apart = fmean(position[run] for run in left) - fmean(position[run] for run in right)
    return abs(apart) / (len(position) / 2)


def _by_session(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return the runs' ids by session."""
    found: dict[str, list[str]] = {}
    for run in sorted(runs, key=lambda run: run.run):
        found.setdefault(run.session, []).append(run.run)
    return found
