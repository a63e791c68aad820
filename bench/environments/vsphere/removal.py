"""Finding what carries an owner's tag on a vCenter, and destroying exactly that."""

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


class _Found:
    """VMs and the pool of one owner on one vCenter."""

    def __init__(self, vcenter: Vcenter, owner: Owner, timeout: float) -> None:
        """Start with nothing found; ``timeout`` seconds bound the removal."""
        self.owner = owner
        self.vms: list[str] = []
        self.pools = 0
        self._vcenter, self._timeout = vcenter, timeout

    def describe(self) -> str:
        """Say what it is, in one line."""
        parts = [plural(len(self.vms), "VM")] * bool(self.vms)
        parts += [plural(self.pools, "resource pool")] * bool(self.pools)
        study = self.owner.study or "unknown"
        return f"{', '.join(parts)} on vCenter of study {study}, session {self.owner.session}"

    def remove(self) -> None:
        """Destroy it all; returns when it is gone."""
        remove(self._vcenter, None, self.owner, self._timeout)


def owned(vcenter: Vcenter, timeout: float) -> list[OwnedResource]:
    """Return one entry an owner, from the tags of VMs and resource pools."""
    vim = module().vim
    found: dict[str, _Found] = {}

    def entry(owner: Owner) -> _Found:
        one = found.setdefault(owner.mark, _Found(vcenter, owner, timeout))
        one.owner = owner if owner.study else one.owner
        return one

    for _, got in bulk(vcenter, vim.VirtualMachine, ["name", "config.annotation"]):
        name = got.get("name", "")
        if (owner := ownership.owner_of(name, got.get("config.annotation") or "")) is not None:
            entry(owner).vms.append(name)
    for _, owner in resource_pools.owned(vcenter):
        entry(owner).pools += 1
    return [OwnedResource(one.owner, one.describe(), one.remove) for one in found.values()]


def remove(vcenter: Vcenter, names: set[str] | None, owner: Owner, timeout: float) -> None:
    """Destroy the owner's VMs (those of ``names``, or all) and, with the last, its pool and rule.

    A VM of another name in a marked pool moves to the pool's parent, as vSphere does it. A vCenter
    that is lost meanwhile is waited for, ``timeout`` seconds in all: what is there is looked for
    anew, so that nothing is forgotten. LaunchFailed names what stays.
    """
    _through(vcenter, timeout, lambda left: _remove(vcenter, names, owner, left))


def settle(vcenter: Vcenter, begun: Sequence[Any], timeout: float) -> None:
    """Cancel the tasks that still run, and wait until all are over.

    One that cannot be cancelled is waited for. LaunchFailed names what still runs after
    ``timeout`` seconds.
    """
    _through(vcenter, timeout, lambda left: _settle(vcenter, begun, left))


def _settle(vcenter: Vcenter, begun: Sequence[Any], timeout: float) -> None:
    vim, gone = module().vim, module().vmodl.fault.ManagedObjectNotFound
    unable = (vim.fault.InvalidState, vim.fault.NoPermission, module().vmodl.fault.NotSupported)
    running = {}
    for task in begun:
        with contextlib.suppress(gone):  # over long ago
            info = task.info
            if info.state not in ("queued", "running"):
                continue
            running[task._GetMoId()] = task
            if info.cancelable:
                with contextlib.suppress(*unable):
                    task.CancelTask()
    tasks.tasks(vcenter, running, timeout)


def _through(vcenter: Vcenter, timeout: float, work: Callable[[float], None]) -> None:
    """Do the work, within the seconds it is given; again where the vCenter was lost meanwhile."""
    ends = time.monotonic() + timeout
    while True:
        left = max(1.0, ends - time.monotonic())
        try:
            return work(left)
        except (*LOST, module().vmodl.fault.ManagedObjectNotFound) as error:  # tasks go with it
            if time.monotonic() >= ends:
                raise vcenter.unreachable(error) from None
            vcenter.reconnect(max(0.0, ends - time.monotonic()))
        except module().vmodl.MethodFault as fault:
            raise vcenter.refused(fault) from None


def _remove(vcenter: Vcenter, names: set[str] | None, owner: Owner, timeout: float) -> None:
    vms = [
        (vm, got)
        for vm, got in bulk(vcenter, module().vim.VirtualMachine, ["name", "runtime.powerState"])
        if ownership.belongs(got.get("name", ""), owner)
    ]
    chosen = {got["name"]: vm for vm, got in vms if names is None or got["name"] in names}
    running = [n for vm, got in vms if (n := got["name"]) in chosen if _on(got)]
    off = _begin({name: chosen[name].PowerOff for name in running})
    _all(vcenter, off, timeout, "InvalidPowerState")
    _all(vcenter, _begin({name: vm.Destroy_Task for name, vm in chosen.items()}), timeout)
    if len(chosen) == len(vms):
        anti_affinity.drop(vcenter, owner)
        for pool, whose in resource_pools.owned(vcenter):
            if whose.mark == owner.mark:
                _all(vcenter, _begin({ownership.pool_name(owner): pool.Destroy_Task}), timeout)


def _on(got: dict[str, Any]) -> bool:
    return got.get("runtime.powerState") == "poweredOn"


def _begin(calls: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Start the tasks; what another cleanup removed in the meantime needs none."""
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
        raise LaunchFailed(f"vCenter {vcenter.address} keeps {text}", remedy="benchcast cleanup")
