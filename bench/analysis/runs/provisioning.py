"""How long the machines of clusters took to be made: cloned on a hypervisor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median

from bench.analysis.runs.types import ProvisionTimes
from bench.records.results import ClusterEvent, Machine


def provision_times(
    lives: Iterable[ClusterEvent], machines: Mapping[str, Machine]
) -> tuple[ProvisionTimes, ...]:
    """Return one entry an environment and kind of clone, from the clusters' last lines.

    ``machines`` maps a digest to the machine's facts. Machines that were found, not made, and
    those whose time nobody told are left out.
    """
    times: dict[tuple[str, str], list[float]] = {}
    for line in lives:
        for use in line.machines:
            if use.provision_seconds is not None:
                machine = machines.get(use.machine)
                kind = "" if machine is None else machine.hypervisor.get("clone", "")
                times.setdefault((line.environment, kind), []).append(use.provision_seconds)
    return tuple(
        ProvisionTimes(
            environment=environment,
            kind=kind,
            count=len(seconds),
            median=median(seconds),
            longest=max(seconds),
        )
        for (environment, kind), seconds in sorted(times.items())
    )
