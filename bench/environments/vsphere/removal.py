"""Finds and destroys what carries an owner's tag on a vCenter."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bench.contracts import OwnedResource
from bench.environments.vsphere import anti_affinity, ownership, resource_pools, tasks
from bench.environments.vsphere.client import LOST, Vcenter, module
from bench.environments.vsphere.properties import bulk
from bench.errors import LaunchFailed
from bench.records.cluster import Owner
from bench.text import plural


class _OwnedOnVcenter:
    """VMs and pool of one owner on one vCenter."""

    def __init__(self, vcenter: Vcenter, owner: Owner, timeout: float) -> None:
        """Limit the removal to ``timeout`` seconds."""
        self.owner = owner
        self.vms: list[str] = []
        self.pools = 0
        self._vcenter, self._timeout = vcenter, timeout

    def describe(self) -> str:
        """Return a description of one line."""
        parts = [plural(len(self.vms), "VM")] * bool(self.vms)
        parts += [plural(self.pools, "resource pool")] * bool(self.pools)
        study = self.owner.study or "unknown"
        return f"{', '.join(parts)} on vCenter of study {study}, session {self.owner.session}"

    def remove(self) -> None:
        """Destroy everything; return when it is gone."""
        remove(self._vcenter, None, self.owner, self._timeout)


def owned(vcenter: Vcenter, timeout: float) -> list[OwnedResource]:
    """Return an entry for each owner, from the tags of VMs and resource pools."""
    vim = module().vim
    entries: dict[str, _OwnedOnVcenter] = {}

    def entry(owner: Owner) -> _OwnedOnVcenter:
        item = entries.setdefault(owner.tag, _OwnedOnVcenter(vcenter, owner, timeout))
        item.owner = owner if owner.study else item.owner
        return item

    for _, values in bulk(vcenter, vim.VirtualMachine, ["name", "config.annotation"]):
        name = values.get("name", "")
        if (owner := ownership.owner_of(name, values.get("config.annotation") or "")) is not None:
            entry(owner).vms.append(name)
    for _, owner in resource_pools.owned(vcenter):
        entry(owner).pools += 1
    return [OwnedResource(item.owner, item.describe(), item.remove) for item in entries.values()]


def remove(vcenter: Vcenter, names: set[str] | None, owner: Owner, timeout: float) -> None:
    """Destroy the owner's VMs (those of ``names``, or all) and, with the last, its pool and rule.

    vSphere moves other VMs in a tagged pool to the pool's parent. If the vCenter is lost
    meanwhile, wait for it, ``timeout`` seconds in all, and list everything again. LaunchFailed
    names what could not be removed.
    """
    _through(vcenter, timeout, lambda left: _remove(vcenter, names, owner, left))


def settle(vcenter: Vcenter, begun: Sequence[Any], timeout: float) -> None:
    """Cancel running tasks and wait until all have ended, also those that cannot be cancelled.

    LaunchFailed names tasks that still run after ``timeout`` seconds.
    """
    _through(vcenter, timeout, lambda left: _settle(vcenter, begun, left))


def _settle(vcenter: Vcenter, begun: Sequence[Any], timeout: float) -> None:
    vim, gone = module().vim, module().vmodl.fault.ManagedObjectNotFound
    unable = (vim.fault.InvalidState, vim.fault.NoPermission, module().vmodl.fault.NotSupported)
    running = {}
    for task in begun:
        with contextlib.suppress(gone):  # it ended long ago
            info = task.info
            if info.state not in ("queued", "running"):
                continue
            running[task._GetMoId()] = task
            if info.cancelable:
                with contextlib.suppress(*unable):
                    task.CancelTask()
    tasks.tasks(vcenter, running, timeout)


def _through(vcenter: Vcenter, timeout: float, work: Callable[[float], None]) -> None:
    """Do the work within ``timeout`` seconds; repeat it after a lost vCenter."""
    ends = time.monotonic() + timeout
    while True:
        left = max(1.0, ends - time.monotonic())
        try:
            return work(left)
        except (*LOST, module().vmodl.fault.ManagedObjectNotFound) as error:
            if time.monotonic() >= ends:
                raise vcenter.unreachable(error) from None
            vcenter.reconnect(max(0.0, ends - time.monotonic()))
        except module().vmodl.MethodFault as fault:
            raise vcenter.refused(fault) from None


def _remove(vcenter: Vcenter, names: set[str] | None, owner: Owner, timeout: float) -> None:
    vms = [
        (vm, values)
        for vm, values in bulk(vcenter, module().vim.VirtualMachine, ["name", "runtime.powerState"])
        if ownership.belongs(values.get("name", ""), owner)
    ]
    chosen = {values["name"]: vm for vm, values in vms if names is None or values["name"] in names}
    running = [n for vm, values in vms if (n := values["name"]) in chosen if _on(values)]
    off = _begin({name: chosen[name].PowerOff for name in running})
    _all(vcenter, off, timeout, "InvalidPowerState")
    _all(vcenter, _begin({name: vm.Destroy_Task for name, vm in chosen.items()}), timeout)
    if len(chosen) == len(vms):
        anti_affinity.drop(vcenter, owner)
        for pool, owner_ in resource_pools.owned(vcenter):
            if owner_.tag == owner.tag:
                _all(vcenter, _begin({ownership.pool_name(owner): pool.Destroy_Task}), timeout)


def _on(values: dict[str, Any]) -> bool:
    return values.get("runtime.powerState") == "poweredOn"


def _begin(calls: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Start the tasks; skip objects that another cleanup removed in the meantime."""
    begun: dict[str, Any] = {}
    for name, call in calls.items():
        with contextlib.suppress(module().vmodl.fault.ManagedObjectNotFound):
            begun[name] = call()
    return begun


def _all(vcenter: Vcenter, begun: dict[str, Any], timeout: float, *harmless: str) -> None:
    ended = tasks.tasks(vcenter, begun, timeout)
    wrong: Iterable[str] = (
        f"{name}: {done.fault}: {done.message}"
        for name, done in ended.items()
        if done.fault not in (None, "ManagedObjectNotFound", *harmless)
    )
    for text in wrong:
        raise LaunchFailed(
            f"vCenter {vcenter.address} could not remove {text}", remedy="benchcast cleanup"
        )
