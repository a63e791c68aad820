"""Clones workers into a pool of their own: all or none; tags prevent duplicates."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from bench.environments.vsphere import (
    anti_affinity,
    customization,
    ownership,
    resource_pools,
    tasks,
    templates,
    vgpus,
)
from bench.environments.vsphere.client import LOST, Vcenter, module
from bench.environments.vsphere.migrations import clock
from bench.environments.vsphere.properties import bulk
from bench.environments.vsphere.recipe import Recipe
from bench.environments.vsphere.removal import remove, settle
from bench.environments.vsphere.resource_pools import MIB
from bench.errors import LaunchFailed, UnsuitableEnvironment
from bench.records.cluster import Owner
from bench.records.study import Shape

PAUSE = 0.2  # seconds before another try after the vCenter was lost
_log = logging.getLogger(__name__)

Plan = Mapping[str, Shape]  # a VM's name -> its shape


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A running clone. ``clone_seconds`` is by the vCenter's clock, None if unknown."""

    name: str
    vm: Any
    address: str
    shape: Shape
    clone_seconds: float | None


class Cloner:
    """Clones machines for one vCenter and recipe."""

    def __init__(self, vcenter: Vcenter, recipe: Recipe, undo_seconds: float = 120.0) -> None:
        """Prepare to clone; undoing takes at most ``undo_seconds``."""
        self.undo_seconds = undo_seconds
        self.vcenter = vcenter
        self.recipe = recipe
        self._indices: dict[str, itertools.count[int]] = {}
        self._begun: set[str] = set()  # tags whose pool this harness has created
        self._cloning: dict[str, list[Any]] = {}  # a tag -> its running clone tasks
        self._started: dict[str, datetime] = {}  # first VM of an opening -> its first start
        self._tagged: set[str] = set()  # tags whose pool has the attribute, if that is allowed

    def acquire(self, shapes: Sequence[Shape], owner: Owner) -> list[Machine]:
        """Return one running clone with an address for each shape, in order; or undo and raise.

        LaunchFailed names what failed, UnsuitableEnvironment a missing object of the recipe.
        """
        indices = self._indices.setdefault(owner.tag, itertools.count())
        plan = {ownership.vm_name(owner, next(indices)): shape for shape in shapes}
        try:
            return self._clone_and_start(plan, owner)
        except LOST as error:
            self.undo(plan, owner)
            raise self.vcenter.unreachable(error) from None
        except module().vmodl.MethodFault as fault:
            self.undo(plan, owner)
            raise self.vcenter.refused(fault) from None
        except BaseException:
            self.undo(plan, owner)
            raise

    def release(self, names: Iterable[str], owner: Owner) -> None:
        """Destroy these clones, and the pool with its last clone; idempotent."""
        remove(self.vcenter, set(names), owner, self.recipe.clone_timeout)

    def undo(self, names: Iterable[str], owner: Owner) -> None:
        """Remove clones, including those still being created.

        Report what could not be removed; ``cleanup`` finds it later. Running clone tasks are
        cancelled first: their VMs would otherwise appear after the removal.
        """
        if owner.tag not in self._begun:
            return  # nothing was created; a pool with that name belongs to someone else
        doomed = sorted(names)
        ends = time.monotonic() + self.undo_seconds
        failures: list[Exception] = []
        try:
            settle(self.vcenter, self._cloning.pop(owner.tag, []), self.undo_seconds)
        except (*LOST, LaunchFailed, UnsuitableEnvironment) as error:
            failures.append(error)
        try:
            left = max(self.undo_seconds / 4, ends - time.monotonic())
            remove(self.vcenter, set(doomed), owner, left)
        except (*LOST, LaunchFailed, UnsuitableEnvironment) as error:
            failures.append(error)
        if failures:
            _log.warning(
                "vCenter %s: not undone (%s): %s and the pool %s may still exist;"
                " benchcast cleanup removes them",
                self.vcenter.address,
                failures[0],
                ", ".join(doomed),
                ownership.pool_name(owner),
            )

    def _clone_and_start(self, plan: Plan, owner: Owner) -> list[Machine]:
        """Clone and start the plan's VMs; wait for a lost vCenter and keep what exists by then.

        Every step first looks at what exists with the owner's tag, so it can be repeated.
        """
        limit = self.recipe.clone_timeout + self.recipe.ip_timeout
        ends = time.monotonic() + limit
        seconds: dict[str, float | None] = {}
        while True:
            try:
                return self._bring_up(plan, owner, seconds)
            except (*LOST, module().vmodl.fault.ManagedObjectNotFound):
                left = ends - time.monotonic()
                if left <= 0:
                    raise LaunchFailed(
                        f"vCenter {self.vcenter.address}: not up in {limit:g} s: {next(iter(plan))}"
                    ) from None
                self.vcenter.reconnect(left)
                time.sleep(PAUSE)

    def _bring_up(
        self, plan: Plan, owner: Owner, seconds: dict[str, float | None]
    ) -> list[Machine]:
        self._clone(plan, owner, seconds)
        vms = self._present(plan)
        self._reshape(vms, plan, owner)
        self._give_gpus(vms, plan)
        if self.recipe.anti_affinity:
            anti_affinity.keep_apart(self.vcenter, self._cluster(), owner, self._owned_vms(owner))
        if self.recipe.customize is None:
            self._power_on(vms)
        else:  # after a lost vCenter some may run: use the time from before the loss
            since = self._started.setdefault(min(plan), clock(self.vcenter))
            self._power_on(vms)
            customization.wait(self.vcenter, vms, since, self.recipe.ip_timeout)
        addresses = tasks.addresses(self.vcenter, vms, self.recipe.ip_timeout)
        if self.recipe.anti_affinity:
            anti_affinity.verify(self.vcenter, self._owned_vms(owner))
        return [
            Machine(
                name=name,
                vm=vms[name],
                address=addresses[name],
                shape=shape,
                clone_seconds=seconds.get(name),
            )
            for name, shape in plan.items()
        ]

    def _clone(self, plan: Plan, owner: Owner, seconds: dict[str, float | None]) -> None:
        """Create the missing clones until all exist.

        Names prevent duplicates: after a lost vCenter, tagged clones are kept, and a second clone
        with the name of one that appears late fails with DuplicateName.
        """
        ends = time.monotonic() + self.recipe.clone_timeout
        while lacking := self._missing(plan):
            left = ends - time.monotonic()
            if left <= 0:
                raise LaunchFailed(f"not cloned in {self.recipe.clone_timeout:g} s: {lacking[0]}")
            begun = self._begin({name: plan[name] for name in lacking}, owner)
            for name, done in tasks.tasks(self.vcenter, begun, left).items():
                if done.fault is None:
                    seconds[name] = done.seconds
                elif done.fault != "DuplicateName":
                    raise LaunchFailed(
                        f"clone {name}: {done.fault}: {done.message}",
                        remedy="check the pool's limits and free space of cluster and datastore",
                    )
        self._cloning.pop(owner.tag, None)

    def _begin(self, plan: Plan, owner: Owner) -> dict[str, Any]:
        """Start the clones on the hosts in turn, continuing after the owner's earlier clones."""
        source = templates.find(self.vcenter, self.recipe)
        pool, folder = self._pool(owner), self._folder()
        specification = self.recipe.customize
        guest = None if specification is None else customization.find(self.vcenter, specification)
        hosts = {shape: self._hosts(shape) or [None] for shape in set(plan.values())}
        begun = {}
        for name, shape in plan.items():
            host = hosts[shape][ownership.index_of(name) % len(hosts[shape])]
            where = self._where(pool, host, folder)
            configured = config(owner, shape)
            begun[name] = templates.clone(source, self.recipe, name, where, configured, guest)
            self._cloning.setdefault(owner.tag, []).append(begun[name])
        return begun

    def _where(self, pool: Any, host: Any, folder: Any) -> Any:
        where = module().vim.VirtualMachineRelocateSpec(pool=pool, host=host, folder=folder)
        if self.recipe.datastore is not None:
            path = f"{self.recipe.datacenter}/datastore/{self.recipe.datastore}"
            where.datastore = self.vcenter.find(path, "datastore")
        return where

    def _reshape(self, vms: Mapping[str, Any], plan: Plan, owner: Owner) -> None:
        """Check the clones' cores, memory and notes, and reconfigure clones that differ."""
        wrong = self._differing(vms, plan, owner)
        bare = {name: Shape(cores=plan[name].cores, memory=plan[name].memory) for name in wrong}
        begun = {name: vms[name].Reconfigure(config(owner, shape)) for name, shape in bare.items()}
        self._tasks(begun, "reconfigure")
        if still := self._differing({name: vms[name] for name in wrong}, plan, owner):
            shape = plan[still[0]]
            raise LaunchFailed(
                f"{still[0]} did not get {shape.cores} cores and {shape.memory // MIB} MiB",
                remedy="check the template's reservations and the pool's limits",
            )

    def _give_gpus(self, vms: Mapping[str, Any], plan: Plan) -> None:
        """Check the clones' GPUs and add missing ones."""
        shapes = {name: vgpus.wanted(shape) for name, shape in plan.items()}
        wanted = {name: gpus for name, gpus in shapes.items() if gpus is not None}
        counts = self._gpus(vms, wanted)
        lacking = {name: count for name, count in counts.items() if count < wanted[name][1]}
        spec = module().vim.VirtualMachineConfigSpec
        begun = {
            name: vms[name].Reconfigure(spec(**vgpus.added(plan[name], count)))
            for name, count in lacking.items()
        }
        self._tasks(begun, "add vGPUs to")
        counts |= self._gpus(vms, {name: wanted[name] for name in lacking})
        for name, count in counts.items():
            profile, expected = wanted[name]
            if count != expected:
                raise LaunchFailed(
                    f"{name} has {count} vGPUs {profile!r}, not {expected}",
                    remedy="use a template without vGPUs; check the cluster's GPUs",
                )

    def _gpus(self, vms: Mapping[str, Any], asked: Mapping[str, tuple[str, int]]) -> dict[str, int]:
        """Return how many vGPUs of its profile each of these VMs has."""
        present = vgpus.present(self.vcenter, [vms[name] for name in asked])
        return {
            name: present[vms[name]._GetMoId()][profile] for name, (profile, _) in asked.items()
        }

    def _differing(self, vms: Mapping[str, Any], plan: Plan, owner: Owner) -> list[str]:
        if not vms:
            return []
        paths = ["name", "config.hardware.numCPU", "config.hardware.memoryMB", "config.annotation"]
        kind, notes = module().vim.VirtualMachine, ownership.annotation(owner)
        rows = [values for _, values in bulk(self.vcenter, kind, paths, root=self._folder())]
        values = {row["name"]: [row.get(path) for path in paths[1:]] for row in rows}
        want = {name: [plan[name].cores, plan[name].memory // MIB, notes] for name in vms}
        return [name for name in vms if values.get(name) != want[name]]

    def _power_on(self, vms: Mapping[str, Any]) -> None:
        """Start VMs that are off; ignore those that another call has started meanwhile."""
        kind, paths = module().vim.VirtualMachine, ["name", "runtime.powerState"]
        rows = [values for _, values in bulk(self.vcenter, kind, paths, root=self._folder())]
        off = {values["name"] for values in rows if values.get("runtime.powerState") != "poweredOn"}
        begun = {name: vm.PowerOn() for name, vm in vms.items() if name in off}
        self._tasks(begun, "power on", "InvalidPowerState")

    def _tasks(self, begun: Mapping[str, Any], verb: str, *harmless: str) -> None:
        ended = tasks.tasks(self.vcenter, begun, self.recipe.clone_timeout)
        for name, done in ended.items():
            if done.fault not in (None, *harmless):
                raise LaunchFailed(f"{verb} {name}: {done.fault}: {done.message}")

    def _missing(self, names: Iterable[str]) -> list[str]:
        wanted = list(names)
        present = self._present(wanted)
        return [name for name in wanted if name not in present]

    def _present(self, names: Iterable[str]) -> dict[str, Any]:
        wanted = set(names)
        return {name: vm for name, vm in self._names().items() if name in wanted}

    def _owned_vms(self, owner: Owner) -> dict[str, Any]:
        """Return every VM of the owner, earlier ones included."""
        return {name: vm for name, vm in self._names().items() if ownership.belongs(name, owner)}

    def _names(self) -> dict[str, Any]:
        kind = module().vim.VirtualMachine
        rows = bulk(self.vcenter, kind, ["name"], root=self._folder())
        return {values["name"]: vm for vm, values in rows if "name" in values}

    def _pool(self, owner: Owner) -> Any:
        """Return the owner's pool; create it unless this harness has already done so."""
        name = ownership.pool_name(owner)
        parent = self._cluster().resourcePool
        pool = resource_pools.find(self.vcenter, parent, name)
        if pool is None:
            self._begun.add(owner.tag)
            try:
                pool = resource_pools.create(parent, name, self.recipe.pool)
            except LaunchFailed:
                self._begun.discard(owner.tag)
                raise
        elif owner.tag not in self._begun or not self._owns_pool(pool, owner):
            raise resource_pools.name_taken(name)
        elif owner.tag in self._tagged:
            return pool
        # also for a pool whose creation got no answer
        resource_pools.set_owner(self.vcenter, pool, owner)
        self._tagged.add(owner.tag)
        return pool

    def _owns_pool(self, pool: Any, owner: Owner) -> bool:
        tags = {
            entity._GetMoId(): owner_.tag for entity, owner_ in resource_pools.owned(self.vcenter)
        }
        return tags.get(pool._GetMoId()) == owner.tag

    def _cluster(self) -> Any:
        return self.vcenter.find(f"{self.recipe.datacenter}/host/{self.recipe.cluster}", "cluster")

    def _folder(self) -> Any:
        path = f"{self.recipe.datacenter}/vm"
        path += "" if self.recipe.folder is None else f"/{self.recipe.folder}"
        return self.vcenter.find(path, "folder")

    def _hosts(self, shape: Shape) -> list[Any]:
        """Return the hosts that get clones in turn: those of the recipe, or all if it matters."""
        path = f"{self.recipe.datacenter}/host/{self.recipe.cluster}"
        wanted = vgpus.wanted(shape)
        if self.recipe.hosts:
            hosts = [self.vcenter.find(f"{path}/{name}", "host") for name in self.recipe.hosts]
        elif self.recipe.anti_affinity or wanted is not None:
            hosts = anti_affinity.hosts(self.vcenter, self._cluster())
        else:
            return []
        if wanted is None:
            return hosts
        if suitable := vgpus.offering(self.vcenter, hosts, wanted[0]):
            return suitable
        raise UnsuitableEnvironment(
            f"vCenter {self.vcenter.address}: no host of the cluster {self.recipe.cluster!r}"
            f" offers the vGPU profile {wanted[0]!r}",
            remedy="set another worker.gpu, or other hosts",
        )


def config(owner: Owner, shape: Shape) -> Any:
    """Return the configuration of the owner's clone."""
    vim = module().vim
    return vim.VirtualMachineConfigSpec(
        numCPUs=shape.cores,
        memoryMB=shape.memory // MIB,
        annotation=ownership.annotation(owner),
        extraConfig=[vim.OptionValue(key=ownership.GUESTINFO, value=ownership.annotation(owner))],
        **vgpus.added(shape),
    )
