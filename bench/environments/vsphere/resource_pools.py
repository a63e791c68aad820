"""The resource pool of a cluster: CPU and memory limits, reservations, shares and owner.

A pool's name and the custom attribute ``ownership.FIELD`` tell its owner. The attribute is set
after the pool is created, and not every user may set it: without it the name decides, if the pool
contains nothing of anyone else.
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
    """Limits of each cluster's pool."""

    cpu: Allocation = Allocation()
    memory: Allocation = Allocation()


def create(parent: Any, name: str, pool: Pool) -> Any:
    """Create a pool below ``parent``; LaunchFailed if the name or the resources are taken."""
    vim = module().vim
    spec = vim.ResourceConfigSpec(
        cpuAllocation=_allocation(pool.cpu), memoryAllocation=_allocation(pool.memory)
    )
    try:
        return parent.CreateResourcePool(name, spec)
    except vim.fault.DuplicateName:
        raise name_taken(name) from None
    except (vim.fault.InsufficientResourcesFault, module().vmodl.fault.InvalidArgument) as error:
        raise LaunchFailed(
            f"the resource pool {name!r} is refused: {type(error).__name__}: {error.msg}",
            remedy="lower its limits or reservations",
        ) from None


def name_taken(name: str) -> LaunchFailed:
    """Return the error for an existing pool that this session did not create."""
    return LaunchFailed(
        f"the resource pool {name!r} exists already and does not belong to this session",
        remedy="benchcast cleanup removes those of dead sessions; others have another owner",
    )


def find(vcenter: Vcenter, parent: Any, name: str) -> Any | None:
    """Return the pool of that name directly below ``parent``, or None."""
    rows = bulk(vcenter, module().vim.ResourcePool, ["name", "parent"], root=parent)
    return next((pool for pool, values in rows if values["name"] == name), None)


def set_owner(vcenter: Vcenter, pool: Any, owner: Owner) -> None:
    """Set the owner's attribute on a pool; if the user may not, log it: the name decides."""
    vim = module().vim
    try:
        key = _key(vcenter)
        if key is None:
            key = _define(vcenter)
        manager = vcenter.content.customFieldsManager
        manager.SetField(entity=pool, key=key, value=ownership.annotation(owner))
    except vim.fault.NoPermission as fault:
        _log.warning(
            "vCenter %s: only the pool's name tells its owner: the user lacks %s",
            vcenter.address,
            fault.privilegeId,
        )


def owned(vcenter: Vcenter) -> list[tuple[Any, Owner]]:
    """Return every pool with an owner, of any session."""
    vim = module().vim
    key = _key(vcenter)
    rows = bulk(vcenter, vim.ResourcePool, ["name", "parent", "customValue"])
    if not any(ownership.owner_of(values.get("name", "")) for _, values in rows):
        return []
    contents = [(values.get("parent"), values.get("name", "")) for _, values in rows]
    vms = bulk(vcenter, vim.VirtualMachine, ["name", "resourcePool"])
    contents += [(values.get("resourcePool"), values.get("name", "")) for _, values in vms]
    inside: dict[str, set[str]] = {}
    for parent, name in contents:
        if parent is not None:
            inside.setdefault(parent._GetMoId(), set()).add(name)
    pools = []
    for pool, values in rows:
        attributes = [value.value for value in values.get("customValue") or () if value.key == key]
        notes = str(attributes[0]) if attributes and attributes[0] else ""
        owner = ownership.owner_of(values.get("name", ""), notes)
        if owner is None:
            continue
        alone = all(ownership.belongs(name, owner) for name in inside.get(pool._GetMoId(), ()))
        if ownership.names_owner(notes, owner) or (not notes and alone):
            pools.append((pool, owner))
    return pools


def _key(vcenter: Vcenter) -> int | None:
    """Return the attribute's number on this vCenter; None if it is not defined yet."""
    fields = vcenter.content.customFieldsManager.field or ()
    pools = (None, module().vim.ResourcePool)
    keys = (f.key for f in fields if f.name == ownership.FIELD and f.managedObjectType in pools)
    return next(keys, None)


def _define(vcenter: Vcenter) -> int:
    """Define the attribute; another harness may do so at the same time."""
    vim = module().vim
    manager = vcenter.content.customFieldsManager
    try:
        return int(manager.AddFieldDefinition(ownership.FIELD, vim.ResourcePool).key)
    except vim.fault.DuplicateName:
        key = _key(vcenter)
        if key is None:
            raise  # the name belongs to another kind of object
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
