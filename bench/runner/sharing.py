"""Finds environments that share machines and therefore take turns."""

from __future__ import annotations

from collections.abc import Mapping

from bench import environments
from bench.contracts import THIS_MACHINE, Environment


def is_here(environment: Environment) -> bool:
    """Return whether an environment's workers are parts of this machine."""
    return environments.shares_machine(environment.kind)


def machines_of(environment: Environment) -> frozenset[str]:
    """Return keys of the machines that an environment's clusters use."""
    here = {THIS_MACHINE} if is_here(environment) else frozenset()
    return environment.machines_used() | here


def lanes_of(by_name: Mapping[str, Environment], *, parallel: bool = True) -> list[set[str]]:
    """Return sets of environments that share a machine, directly or through another one.

    Without ``parallel`` there is one set of all.
    """
    if not parallel:
        return [set(by_name)] if by_name else []
    lanes: list[tuple[set[str], set[str]]] = []  # names, machines
    for name, environment in by_name.items():
        names, machines = {name}, set(machines_of(environment))
        for lane in [lane for lane in lanes if lane[1] & machines]:
            lanes.remove(lane)
            names, machines = names | lane[0], machines | lane[1]
        lanes.append((names, machines))
    return [names for names, _ in lanes]
