"""What a curve's runs say about the work they did, condensed for a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import TypeVar

import msgspec

from bench.analysis.runs.grouping import CurveRuns
from bench.analysis.runs.study_facts import distinct
from bench.records.results import (
    Digests,
    Figure,
    Machine,
    Quality,
    QualityLimits,
    Run,
    Vector,
)
from bench.units import format_memory

Values = tuple[str, ...]
_T = TypeVar("_T")
SHOWN_DIGITS = 12  # of a digest
UNKNOWN = "not reported"
CONTENTION: Mapping[str, tuple[str, str, float]] = {  # name, in words, noted from
    "steal": ("steal", "{:.1%} of the CPU time wanted", 0.02),
    "throttled": ("throttled", "{:.1%} of the CPU time wanted", 0.02),
    "others": ("co-tenants", "{:.2g} cores' worth", 0.1),
}


class CurveFacts(msgspec.Struct, kw_only=True):
    """Distinct values of each fact over the counted runs; an empty tuple is not reported.

    ``facts`` are those of the machines, ``withheld`` medians of ``Run.contention``. ``figures``
    are the numbers with a tolerance, ``uncompared`` those without, ``required`` the figures that
    the task requires to have one value.
    """

    use: str | None
    engine: str | None
    values: Mapping[str, Values]
    versions: Mapping[str, Values]
    machines: Values
    facts: Mapping[str, Values]
    withheld: Mapping[str, float]
    figures: Mapping[str, Sequence[float]]
    uncompared: Mapping[str, Values]
    vectors: Mapping[str, Sequence[Vector]]
    required: Mapping[str, Sequence[Figure]]
    sessions: set[str]
    notes: Sequence[str]

    def required_within_curve(self) -> dict[str, Values]:
        """Return what must be equal for all runs of one curve."""
        return {**self.values, **self._engine_versions()}

    def must_across(self, other: CurveFacts) -> dict[str, Values]:
        """Return what must be equal between two curves: the bundle only of one workload, the
        engine's version only within an engine, and params through the cases.
        """
        skipped = {"params"} | (set() if self.use == other.use and self.use else {"bundle"})
        found = {name: values for name, values in self.values.items() if name not in skipped}
        if self.engine is not None and self.engine == other.engine:
            mine, theirs = self._engine_versions(), other._engine_versions()
            found |= {name: mine.get(name, ()) for name in {*mine, *theirs}}
        return found

    def informative(self) -> dict[str, Values]:
        """Return what is noted where it differs, but held against nobody."""
        kept = {f"versions.{name}": values for name, values in self.versions.items()}
        for name in self._engine_versions():
            kept.pop(name)
        machine = {"machine": self.machines} if self.machines else {}
        return {**kept, **machine, **self.uncompared, **self.facts}

    def withheld_words(self, name: str) -> str:
        """Return in words what the machine withheld (a key of CONTENTION), median over runs."""
        return CONTENTION[name][1].format(self.withheld[name]) if name in self.withheld else UNKNOWN

    def missing(self, quality: bool) -> list[str]:
        """Name what no run reports although the proof needs it."""
        names = [name for name in ("task", "bundle") if not self.values.get(name)]
        if not any(name.startswith("dataset") for name, found in self.values.items() if found):
            names.append("dataset")
        return names + (["quality"] if quality and not self.figures else [])

    def _engine_versions(self) -> dict[str, Values]:
        """Return the versions of the engine itself."""
        own = {self.engine, f"py{self.engine}"}
        return {f"versions.{name}": v for name, v in self.versions.items() if name in own}


def gather(
    line: CurveRuns, limits: QualityLimits, machines: Mapping[str, Machine] | None = None
) -> CurveFacts:
    """Return what the counted runs of a curve say; params count within one set of factors.

    ``limits`` are those of its task; ``machines`` maps a digest to the machine's facts, where
    they are known.
    """
    runs = line.counted
    used = {digest for run in runs for digest in run.machines}
    digests = [run.digests for run in runs if run.digests]
    quality = [run.quality for run in runs if run.quality]
    numbers = _by_name(one.numbers for one in quality)
    names = sorted({name for run in runs for name in run.versions})
    return CurveFacts(
        use=line.case.use if line.case else None,
        engine=line.case.engine if line.case else None,
        values={
            "task": distinct(one.task for one in digests),
            "bundle": distinct(one.bundle[:SHOWN_DIGITS] for one in digests),
            "params": distinct(one.params[:SHOWN_DIGITS] for one in digests),
            **_datasets(digests),
            "precision": distinct(one.precision for one in quality),
            "stages": distinct(run.stages_mode for run in runs),
            "passes": distinct(str(len(run.passes)) for run in runs if run.passes),
            "warmups": distinct(str(run.warmups) for run in runs),
        },
        versions={n: distinct(run.versions[n] for run in runs if n in run.versions) for n in names},
        machines=distinct(digest[:SHOWN_DIGITS] for digest in used),
        facts=_facts([machines[one] for one in used if one in machines] if machines else []),
        withheld=_withheld(runs),
        figures={name: found for name, found in numbers.items() if name in limits.tolerances},
        uncompared={
            name: distinct(f"{value:g}" for value in found)
            for name, found in numbers.items()
            if name not in limits.tolerances
        },
        vectors=_by_name(_vectors(one) for one in quality),
        required={
            name: [one.figures[name] for one in quality if name in one.figures]
            for name in limits.requires
        },
        sessions={run.session for run in runs},
        notes=_notes(line.label, runs),
    )


def _by_name(found: Iterable[Mapping[str, _T]]) -> dict[str, list[_T]]:
    """Return the values of each name, in the order of the runs."""
    names: dict[str, list[_T]] = {}
    for one in found:
        for name, value in one.items():
            names.setdefault(name, []).append(value)
    return names


def _vectors(quality: Quality) -> dict[str, Vector]:
    return {name: one for name, one in quality.figures.items() if isinstance(one, Vector)}


def _datasets(digests: Sequence[Digests]) -> dict[str, Values]:
    """Return the digests of what was read, by role; of a single role it is "dataset"."""
    found = _by_name(one.datasets for one in digests)
    values = {role: distinct(one[:SHOWN_DIGITS] for one in read) for role, read in found.items()}
    if len(values) <= 1:
        return {"dataset": next(iter(values.values()), ())}
    return {f"dataset.{role}": one for role, one in values.items()}


def _facts(machines: Sequence[Machine]) -> dict[str, Values]:
    """Return the distinct values of each fact of machines; what none of them says is left out."""
    found: dict[str, list[str]] = {}
    for one in machines:
        told = {
            "cpu_model": one.cpu_model,
            "cores": str(one.cores),
            "memory": format_memory(one.memory),
            "os": one.os,
            "kernel": one.kernel,
            "accelerators": ", ".join(one.accelerators) or "none",
            "governor": one.governor,
            "threads_per_core": one.threads_per_core and str(one.threads_per_core),
            "virtualization": one.virtualization,
            **one.hypervisor,
        }
        for name, value in told.items():
            if value:
                found.setdefault(f"machine.{name}", []).append(value)
    return {name: distinct(values) for name, values in found.items()}


def _withheld(runs: Sequence[Run]) -> dict[str, float]:
    """Return the medians over the runs of what the machine withheld; absent where no run says."""
    values = {
        name: [run.contention[name] for run in runs if name in run.contention]
        for name in CONTENTION
    }
    return {name: median(found) for name, found in values.items() if found}


def _notes(label: str, runs: Sequence[Run]) -> list[str]:
    """Say what weakens the evidence of a curve's runs."""
    notes = []
    silent = sum(run.quality is None for run in runs)
    if 0 < silent < len(runs):
        notes.append(f"{silent} of {len(runs)} runs of {label} report no quality")
    marked = sum(bool(run.events) for run in runs)
    if marked:
        notes.append(f"{marked} of {len(runs)} runs of {label} carry events (see the list of runs)")
    return notes


def words(values: Values) -> str:
    """Return distinct values as text."""
    return ", ".join(values) if values else UNKNOWN
