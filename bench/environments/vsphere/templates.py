"""The source of clones (a template, its snapshot or a running VM), and the clone call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bench.environments.vsphere.client import Vcenter, module
from bench.environments.vsphere.properties import read
from bench.environments.vsphere.recipe import Recipe
from bench.errors import LaunchFailed, UnsuitableEnvironment

INSTANT = (6, 7)  # the first vSphere API with instant clones


def find(vcenter: Vcenter, recipe: Recipe) -> tuple[Any, Any]:
    """Return the template and a linked clone's snapshot; UnsuitableEnvironment if missing."""
    vm = vcenter.find(f"{recipe.datacenter}/vm/{recipe.template}", "template")
    if recipe.clone != "linked":
        return vm, None
    tree = read(vcenter, [vm], ["snapshot"])[vm._GetMoId()].get("snapshot")
    if tree is not None and recipe.snapshot is None:
        return vm, tree.currentSnapshot
    name = recipe.snapshot
    for node in _nodes(() if tree is None else tree.rootSnapshotList):
        if node.name == name:
            return vm, node.snapshot
    raise UnsuitableEnvironment(
        f"the template {recipe.template!r} has no snapshot {name or ''}".rstrip(),
        remedy="take one, or set clone = 'full'",
    )


def clone(
    source: tuple[Any, Any], recipe: Recipe, name: str, where: Any, config: Any, guest: Any = None
) -> Any:
    """Start to clone; return the task. An instant clone has its parent's cores and memory.

    ``guest`` is a customization specification for its first boot.
    """
    vim = module().vim
    vm, snapshot = source
    if recipe.clone == "instant":
        spec = vim.VirtualMachineInstantCloneSpec(
            name=name, location=where, config=config.extraConfig
        )
        try:
            return vm.InstantClone_Task(spec)
        except module().vmodl.fault.MethodNotFound:
            raise LaunchFailed(NO_INSTANT, remedy="set clone = 'linked'") from None
    folder, where.folder = where.folder, None
    if recipe.clone == "linked":
        where.diskMoveType = "createNewChildDiskBacking"
    spec = vim.VirtualMachineCloneSpec(
        location=where,
        template=False,
        powerOn=False,
        snapshot=snapshot,
        config=config,
        customization=guest,
    )
    return vm.CloneVM_Task(folder, name, spec)


NO_INSTANT = "clone = 'instant': this vCenter has no instant clones (vSphere 6.7 and later have)"


def _nodes(roots: Iterable[Any]) -> Iterable[Any]:
    for node in roots:
        yield node
        yield from _nodes(node.childSnapshotList or ())
