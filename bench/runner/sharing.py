"""Which environments share machines, and so take turns."""

from __future__ import annotations

from collections.abc import Mapping

from bench import environments
from bench.contracts import THIS_MACHINE, Environment


def is_here(environment: Environment) -> bool:
    """Return whether an environment's workers are parts of this very machine."""
    return environments.shares_machine(environment.kind)


def machines_of(environment: Environment) -> frozenset[str]:
    """Return keys of the machines that an environment's clusters use."""
    here = {THIS_MACHINE} if is_here(environment) else frozenset()
    return environment.machines_used() | here


def lanes_of(places: Mapping[str, Environment], *, parallel: bool = True) -> list[set[str]]:
    """Return names of environments, together where they share a machine (also over a third).

    ``places`` are the environments by name; without ``parallel`` they are all together.
    """
    if not parallel:
        return [set(places)] if places else []
    lanes: list[tuple[set[str], set[str]]] = []  # names, machines
    for name, environment in places.items():
        names, machines = {name}, set(machines_of(environment))
        for lane in [lane for lane in lanes if lane[1] & machines]:
            lanes.remove(lane)
            names, machines = names | lane[0], machines | lane[1]
        lanes.append((names, machines))
    return [names for names, _ in lanes]
