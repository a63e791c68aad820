"""What the time of a run went to, and what each added worker is lost to.

A run on s slots (cores for tasks) that takes w seconds has s x w slot-seconds. Each is given to
one part, so that the parts add up to the measured time; divided by s they add up to the wall
time. What a measure cannot tell apart is one part, and a note says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from bench.analysis.attribution import spark_idle, spark_tasks, tensorflow_ranks
from bench.analysis.attribution.spark_tasks import Ledger
from bench.analysis.attribution.tensorflow_ranks import Rank
from bench.records.spark_log import SparkLog

__all__ = ["Attribution", "Part", "Rank", "attribute", "attribute_tensorflow", "gap"]

# Every part, in the order in which a page lists them, and what it is.
PARTS: Mapping[str, str] = {
    "compute": "CPU time of tasks or ranks at the work itself",
    "Python workers": "run time of tasks that is not the JVM's: Python's compute and waits",
    "input": "CPU time of a rank at reading and preparing its data",
    "start-up": "launch, executors to come, time before the first Spark stage, the first wave's "
    "excess of CPU where it shows (JIT)",
    "driver": "no Spark stage active: the driver or client alone",
    "between stages": "a rank's time outside its pipeline stages",
    "scheduling": "tasks that could run and were not launched, and Spark's scheduler delay",
    "deserialization": "tasks and their code brought up on the executors",
    "skew": "slots idle at the end of a stage because some tasks had more data",
    "stragglers": "slots idle at the end of a stage because some tasks took longer on no more data",
    "shuffle wait": "tasks waiting for blocks of other executors",
    "shuffle write": "writing shuffle files beyond the CPU time of it",
    "input wait": "a rank's reading and preparing without CPU: waiting for storage or a core",
    "collective wait": "ranks waiting for each other inside collectives",
    "collective wait and contention": "time of ranks without CPU: waiting for each other, or for "
    "a core; not told apart",
    "GC": "tasks stopped by garbage collection",
    "spill": "run time of spilling tasks beyond what others of their CPU time take",
    "result handling": "serializing, fetching and taking results",
    "idle slots": "too few tasks for the slots, or a number that does not divide",
    "failed attempts": "attempts that failed or were killed, speculative copies among them",
    "missing executors": "slots whose executor was lost or never came",
    "contention": "run time without CPU or any measured wait: a busy machine, a CPU quota, I/O",
    "not known": "time of tasks or ranks whose figures are missing",
}
WORK = ("compute", "Python workers", "input")  # the work itself; all else is a loss


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A named part: ``slot_seconds``, the wall seconds that these make on all slots (negative in
    a gap where time was won), its share of the whole (None where the whole is 0), what it is.
    """

    name: str
    seconds: float
    slot_seconds: float
    share: float | None
    text: str = ""


class Attribution(msgspec.Struct, frozen=True, kw_only=True):
    """Where ``wall`` seconds on ``slots`` slots went; the parts' seconds add up to ``wall``.

    Parts of no time at all are left out. ``partial`` says why the log is not whole, ``notes``
    what could not be told apart or contradicted itself.
    """

    slots: int
    wall: float
    parts: tuple[Part, ...]
    partial: str = ""
    notes: tuple[str, ...] = ()

    @property
    def losses(self) -> tuple[Part, ...]:
        """All parts but the work itself, the largest first."""
        lost = (part for part in self.parts if part.name not in WORK)
        return tuple(sorted(lost, key=lambda part: -part.seconds))


def attribute(
    log: SparkLog, begin: float, end: float, slots: int, *, launch: float | None = None
) -> Attribution:
    """Divide a window of a Spark run, begin to end (s since the epoch), on so many slots.

    launch: seconds that the engine took before ``begin``, added to the wall time as start-up;
    None where they are not to be counted. A Spark stage or executor without an end lasts to the
    window's. ValueError for a window or a number of slots that is none.
    """
    if not end > begin:
        raise ValueError(f"the window's end {end} is not behind its beginning {begin}")
    if slots < 1:
        raise ValueError(f"{slots} slots: at least 1 is needed")
    ledger = Ledger(slots)
    times = spark_tasks.timeline(log, begin, end)
    spark_tasks.share_tasks(log, times, ledger)
    spark_idle.share_idle(log, times, ledger)
    if launch is not None:
        ledger.add("start-up", launch * slots)
    if log.partial:
        ledger.notes.append("the log is partial: tasks that it lost count as idle slots")
    return _attribution(ledger, end - begin + (launch or 0.0), log.partial)


def attribute_tensorflow(
    ranks: Sequence[Rank], *, cores: int = 1, launch: float | None = None
) -> Attribution:
    """Divide the work of TensorFlow ranks, each on so many cores, by their pipeline stages.

    The window is the longest rank's; ``launch`` as for ``attribute``. Where the ranks do not
    tell the time inside collectives, waiting for each other and for a core are one part.
    ValueError without ranks or time.
    """
    if not ranks or cores < 1:
        raise ValueError(f"{len(ranks)} ranks on {cores} cores: at least one of each is needed")
    wall = max(rank.wall for rank in ranks)
    if not wall > 0:
        raise ValueError(f"the longest rank took {wall} s: more than 0 is needed")
    ledger = Ledger(len(ranks) * cores)
    tensorflow_ranks.share_ranks(ranks, wall, cores, ledger)
    if launch is not None:
        ledger.add("start-up", launch * ledger.slots)
    return _attribution(ledger, wall + (launch or 0.0), "")


def _attribution(ledger: Ledger, wall: float, partial: str) -> Attribution:
    whole = wall * ledger.slots
    parts = [
        _part(name, ledger.parts[name], ledger.slots, whole)
        for name in PARTS
        if ledger.parts.get(name, 0.0) > 0
    ]
    return Attribution(
        slots=ledger.slots,
        wall=wall,
        parts=tuple(parts),
        partial=partial,
        notes=tuple(ledger.notes),
    )


def _part(name: str, slot_seconds: float, slots: int, whole: float) -> Part:
    return Part(
        name=name,
        seconds=slot_seconds / slots,
        slot_seconds=slot_seconds,
        share=slot_seconds / whole if whole else None,
        text=PARTS[name],
    )


def gap(one: Attribution, many: Attribution) -> tuple[Part, ...]:
    """Return what the time of ``many`` over the ideal one was lost to, the largest first.

    Ideal is the time of ``one`` times its slots over those of ``many`` (linear speed-up:
    Amdahl, "Validity of the single processor approach", AFIPS 1967, with nothing serial). A
    part's seconds are what its slot-seconds grew by, over the slots of ``many``; they add up to
    the gap, and ``share`` is of the gap. A part that shrank is negative.
    """
    before = {part.name: part.slot_seconds for part in one.parts}
    after = {part.name: part.slot_seconds for part in many.parts}
    whole = many.wall * many.slots - one.wall * one.slots
    grown = {name: after.get(name, 0.0) - before.get(name, 0.0) for name in PARTS}
    parts = [_part(name, more, many.slots, whole) for name, more in grown.items() if more]
    return tuple(sorted(parts, key=lambda part: -part.seconds))
