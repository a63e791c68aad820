"""How long the machines of clusters took to be made: cloned on a hypervisor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median

from bench.analysis.runs.types import ProvisionTimes
from bench.records.results import ClusterLine, Machine


def provision_times(
    lives: Iterable[ClusterLine], machines: Mapping[str, Machine]
) -> tuple[ProvisionTimes, ...]:
    """Return one entry an environment and kind of clone, from the clusters' last lines.

    ``machines`` maps a digest to the machine's facts. Machines that were found, not made, and
    those whose time nobody told are left out.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for line in lives:
        for use in line.machines:
            if use.made is not None:
                known = machines.get(use.machine)
                kind = "" if known is None else known.under.get("clone", "")
                found.setdefault((line.environment, kind), []).append(use.made)
    return tuple(
        ProvisionTimes(
            environment=environment,
            kind=kind,
            count=len(seconds),
            median=median(seconds),
            longest=max(seconds),
        )
        for (environment, kind), seconds in sorted(found.items())
    )
