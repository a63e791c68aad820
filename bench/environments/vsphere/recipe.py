"""What to clone, and where."""

from __future__ import annotations

from typing import Literal

import msgspec

from bench.environments.vsphere.resource_pools import Allocation, Pool


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What to clone, and where; times in seconds, paths below the datacenter's folders.

    ``clone`` is linked (from ``snapshot``, or the template's current one), full, or instant (of a
    running VM). ``hosts`` are ESXi hosts of the cluster that get the clones in turn; without any,
    the vCenter places them. With ``anti_affinity`` no two clones are on the same host.
    ``customize`` names a customization specification of the vCenter.
    """

    datacenter: str
    cluster: str
    template: str
    snapshot: str | None = None
    clone: Literal["linked", "full", "instant"] = "linked"
    folder: str | None = None
    datastore: str | None = None
    hosts: tuple[str, ...] = ()
    anti_affinity: bool = False
    pool: Pool = Pool()
    customize: str | None = None
    clone_timeout: float = 1800.0
    ip_timeout: float = 600.0


def describe_limits(recipe: Recipe) -> str:
    """Return the limits of the clones' pool, in one line."""
    parts = {"cpu": (recipe.pool.cpu, "MHz"), "memory": (recipe.pool.memory, "MiB")}
    limits = [_allocation(name, part, unit) for name, (part, unit) in parts.items()]
    return "; ".join(text for text in limits if text) or "no limits"


def _allocation(name: str, part: Allocation, unit: str) -> str:
    words = [] if part.limit is None else [f"at most {part.limit} {unit}"]
    words += [f"reserved {part.reservation} {unit}"] * bool(part.reservation)
    words += [] if part.shares == "normal" else [f"shares {part.shares}"]
    return f"{name} {', '.join(words)}" if words else ""
