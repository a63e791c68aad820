"""Which environments share machines, and so take turns."""

from __future__ import annotations

from collections.abc import Mapping

from bench.contracts import THIS_MACHINE, Environment


def machines_of(environment: Environment) -> frozenset[str]:
    """Return keys of the machines that an environment's clusters use."""
    here = {THIS_MACHINE} if environment.shares_machine else frozenset()
    return environment.machines_used() | here


def lanes_of(environments: Mapping[str, Environment], *, parallel: bool = True) -> list[set[str]]:
    """Return the environments' names, together where they share a machine (also over a third).

    Without ``parallel`` they are all together.
    """
    if not parallel:
        return [set(environments)] if environments else []
    lanes: list[tuple[set[str], set[str]]] = []  # names, machines
    for name, environment in environments.items():
        names, machines = {name}, set(machines_of(environment))
        for lane in [lane for lane in lanes if lane[1] & machines]:
            lanes.remove(lane)
            names, machines = names | lane[0], machines | lane[1]
        lanes.append((names, machines))
    return [names for names, _ in lanes]
