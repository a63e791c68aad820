"""Checks whether the cluster can hold the requested clones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from bench.contracts import Finding
from bench.environments.vsphere import vgpus
from bench.environments.vsphere.capacity import Survey
from bench.environments.vsphere.recipe import Recipe
from bench.environments.vsphere.resource_pools import MIB
from bench.environments.vsphere.templates import NO_INSTANT
from bench.records.study import Shape
from bench.text import plural
from bench.units import format_memory


def check(survey: Survey, recipe: Recipe, shapes: Sequence[Shape]) -> list[Finding]:
    """Return problems of the whole study, and of clones of these shapes."""
    return [
        *_study(survey, recipe),
        *_hosts(survey, recipe, shapes),
        *_pool(survey, recipe, shapes),
    ]


def _study(survey: Survey, recipe: Recipe) -> Iterator[Finding]:
    if not survey.hosts:
        what = f"the cluster {recipe.cluster!r} has no connected host that may run clones"
        remedy = "connect one, name others in hosts, or let the user see them"
        yield _error("study", what, remedy)
    if survey.networks:
        what = f"the cluster {recipe.cluster!r} lacks the template's network "
        yield _error("study", what + ", ".join(survey.networks), "the clones could not be reached")
    if recipe.clone == "instant" and not survey.instant:
        yield _error("study", NO_INSTANT, "set clone = 'linked'")
    elif recipe.clone == "instant" and not survey.running:
        what = f"clone = 'instant': the template {recipe.template!r} is not powered on"
        yield _error("study", what, "start it, or set clone = 'linked'")
    wanted = (recipe.pool.cpu.reservation, recipe.pool.memory.reservation)
    for name, unit, ask, free in zip(
        ("cpu", "memory"),
        ("MHz", "MiB"),
        wanted,
        (survey.free_cpu, survey.free_memory),
        strict=True,
    ):
        if free is not None and ask > free:
            what = f"pool.{name}.reservation = {ask} {unit}: {free} {unit} are left to reserve"
            yield _error("study", what, "reserve less")


def _hosts(survey: Survey, recipe: Recipe, shapes: Sequence[Shape]) -> Iterator[Finding]:
    if not survey.hosts:
        return
    threads = max(host.threads for host in survey.hosts)
    memory = max(host.memory for host in survey.hosts)
    for shape in dict.fromkeys(shapes):
        if shape.cores > threads:
            what = f"a VM of {shape.cores} cores: the largest host has {threads} threads"
            yield _error("cell", what, "ask for fewer cores")
        if shape.memory > memory:
            asked, largest = format_memory(shape.memory), format_memory(memory)
            what = f"a VM of {asked}: the largest host has {largest}"
            yield _error("cell", what, "ask for less memory")
        yield from _gpus(survey, recipe, shape)
        same = (shape.cores, shape.memory) == (survey.cores, survey.memory)
        if recipe.clone == "instant" and not same:
            what = f"clone = 'instant': a clone has the template's {survey.cores} cores and "
            what += f"{format_memory(survey.memory)}, not {shape.cores} and "
            yield _error("cell", what + format_memory(shape.memory), "set clone = 'linked'")
    if recipe.anti_affinity and len(shapes) > len(survey.hosts):
        what = f"anti_affinity: {plural(len(shapes), 'VM')} on {plural(len(survey.hosts), 'host')}"
        yield _error("cell", what, "ask for fewer workers, or drop anti_affinity")
    asked_cores = sum(shape.cores for shape in shapes)
    cores = sum(host.cores for host in survey.hosts)
    if asked_cores > cores:
        what = f"overcommitted: {asked_cores} vCPUs on hosts of {cores} cores"
        yield _warning(what, "times will show contention, not scaling")


def _gpus(survey: Survey, recipe: Recipe, shape: Shape) -> Iterator[Finding]:
    """Report a vGPU profile of the worker that no host offers."""
    asked = vgpus.wanted(shape)
    if asked is None:
        return
    if recipe.clone == "instant":
        what = "clone = 'instant': a clone has the template's devices and gets no GPU of its own"
        yield _error("cell", what, "set clone = 'linked'")
    offered = sorted({profile for host in survey.hosts for profile in host.gpus})
    if asked[0] not in offered:
        what = f"worker.gpu = {asked[0]!r}: no host of the cluster {recipe.cluster!r} offers it"
        available = f"offered there: {', '.join(offered[:10])}"
        yield _error("cell", what, available if offered else "none of them offers any vGPU profile")


def _pool(survey: Survey, recipe: Recipe, shapes: Sequence[Shape]) -> Iterator[Finding]:
    limit = recipe.pool.memory.limit
    memory = sum(shape.memory for shape in shapes)
    if limit is not None and memory > limit * MIB:
        what = f"{plural(len(shapes), 'VM')} ask for {format_memory(memory)};"
        what += f" pool.memory.limit is {format_memory(limit * MIB)}"
        yield _warning(what, "they will balloon and swap")
    limit = recipe.pool.cpu.limit
    if limit is None or not survey.hosts:
        return
    mhz = sum(shape.cores for shape in shapes) * min(host.mhz for host in survey.hosts)
    if mhz > limit:
        what = f"{plural(len(shapes), 'VM')} can use {mhz} MHz; pool.cpu.limit is {limit} MHz"
        yield _warning(what, "CPU limits will throttle them, so times will not scale")


def _error(scope: Literal["study", "cell"], what: str, remedy: str) -> Finding:
    return Finding(severity="error", scope=scope, what=what, remedy=remedy)


def _warning(what: str, remedy: str) -> Finding:
    return Finding(severity="warning", scope="cell", what=what, remedy=remedy)
