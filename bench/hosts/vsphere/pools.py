"""The resource pool of a cluster: CPU and memory limits, reservations and shares."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from bench.errors import LaunchFailed
from bench.hosts.vsphere.client import Vcenter, module

MIB = 1 << 20
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
    from bench.hosts.vsphere.inventory import bulk

    kind = module().vim.ResourcePool
    rows = bulk(vcenter, kind, ["name", "parent"], under=parent)
    return next((pool for pool, got in rows if got["name"] == name), None)


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
