"""The resource pool of a cluster: CPU and memory limits, reservations and shares; whose it is.

A pool is an owner's by its name and the custom attribute ``ownership.FIELD``. It is set after the
pool is made, and not every user may set it: a pool without it is an owner's by its name, as long
as there is nothing of anyone else's in it.
"""

from __future__ import annotations

import logging
from typing import Any, Literal

import msgspec

from bench.environments.vsphere import ownership
from bench.environments.vsphere.client import Vcenter, module
from bench.environments.vsphere.properties import bulk
from bench.errors import LaunchFailed
from bench.records.cluster import Owner

MIB = 1 << 20
_log = logging.getLogger(__name__)
Level = Literal["low", "normal", "high"]


class Allocation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pool's part of CPU (MHz) or memory (MiB); no ``limit`` means none."""

    limit: int | None = None
    reservation: int = 0
    shares: Level | int = "normal"


class Pool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the pool of each cluster is held to."""

    cpu: Allocation = Allocation()
    memory: Allocation = Allocation()


def create(parent: Any, name: str, pool: Pool) -> Any:
    """Create a pool below ``parent``; LaunchFailed where the name is taken or nothing is left."""
    vim = module().vim
    spec = vim.ResourceConfigSpec(
        cpuAllocation=_allocation(pool.cpu), memoryAllocation=_allocation(pool.memory)
    )
    try:
        return parent.CreateResourcePool(name, spec)
    except vim.fault.DuplicateName:
        raise taken(name) from None
    except (vim.fault.InsufficientResourcesFault, module().vmodl.fault.InvalidArgument) as error:
        raise LaunchFailed(
            f"the resource pool {name!r} is refused: {type(error).__name__}: {error.msg}",
            remedy="lower its limits or reservations",
        ) from None


def taken(name: str) -> LaunchFailed:
    """Say that a pool of this name is there, which this harness did not make."""
    return LaunchFailed(
        f"the resource pool {name!r} exists already and is not this session's",
        remedy="look whose it is; benchcast cleanup removes those of dead sessions",
    )


def find(vcenter: Vcenter, parent: Any, name: str) -> Any | None:
    """Return the pool of that name directly below ``parent``, or None."""
    rows = bulk(vcenter, module().vim.ResourcePool, ["name", "parent"], under=parent)
    return next((pool for pool, got in rows if got["name"] == name), None)


def set_owner(vcenter: Vcenter, pool: Any, owner: Owner) -> None:
    """Set the owner's attribute on a pool; a user who may not is warned, and the name counts."""
    vim = module().vim
    try:
        key = _key(vcenter)
        if key is None:
            key = _define(vcenter)
        manager = vcenter.content.customFieldsManager
        manager.SetField(entity=pool, key=key, value=ownership.annotation(owner))
    except vim.fault.NoPermission as fault:
        _log.warning(
            "vCenter %s: the pool is known by its name only: the user lacks %s",
            vcenter.address,
            fault.privilegeId,
        )


def owned(vcenter: Vcenter) -> list[tuple[Any, Owner]]:
    """Return every pool that is an owner's, whatever its session."""
    vim = module().vim
    key = _key(vcenter)
    rows = bulk(vcenter, vim.ResourcePool, ["name", "parent", "customValue"])
    if not any(ownership.owner_of(got.get("name", "")) for _, got in rows):
        return []
    held = [(got.get("parent"), got.get("name", "")) for _, got in rows]
    vms = bulk(vcenter, vim.VirtualMachine, ["name", "resourcePool"])
    held += [(got.get("resourcePool"), got.get("name", "")) for _, got in vms]
    inside: dict[str, set[str]] = {}
    for place, name in held:
        if place is not None:
            inside.setdefault(place._GetMoId(), set()).add(name)
    found = []
    for pool, got in rows:
        values = [one.value for one in got.get("customValue") or () if one.key == key]
        notes = str(values[0]) if values and values[0] else ""
        owner = ownership.owner_of(got.get("name", ""), notes)
        if owner is None:
            continue
        alone = all(ownership.belongs(name, owner) for name in inside.get(pool._GetMoId(), ()))
        if ownership.names_owner(notes, owner) or (not notes and alone):
            found.append((pool, owner))
    return found


def _key(vcenter: Vcenter) -> int | None:
    """Return the attribute's number on this vCenter; None where nobody defined it yet."""
    fields = vcenter.content.customFieldsManager.field or ()
    pools = (None, module().vim.ResourcePool)
    keys = (f.key for f in fields if f.name == ownership.FIELD and f.managedObjectType in pools)
    return next(keys, None)


def _define(vcenter: Vcenter) -> int:
    """Define the attribute; another harness may do it in this moment."""
    vim = module().vim
    manager = vcenter.content.customFieldsManager
    try:
        return int(manager.AddFieldDefinition(ownership.FIELD, vim.ResourcePool).key)
    except vim.fault.DuplicateName:
        key = _key(vcenter)
        if key is None:
            raise  # the name is taken for another kind of object
        return key


def _allocation(part: Allocation) -> Any:
    vim = module().vim
    level = part.shares if isinstance(part.shares, str) else "custom"
    shares = part.shares if isinstance(part.shares, int) else 0
    return vim.ResourceAllocationInfo(
        limit=-1 if part.limit is None else part.limit,
        reservation=part.reservation,
        expandableReservation=True,
        shares=vim.SharesInfo(level=level, shares=shares),
    )
