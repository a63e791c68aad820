"""Cloning workers into a pool of their own: whole, or undone; found again by tag, never twice."""

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

PAUSE = 0.2  # seconds before another look after the vCenter was lost
_log = logging.getLogger(__name__)

Plan = Mapping[str, Shape]  # a VM's name -> what it is to be


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A clone that is up. ``clone_seconds`` by the vCenter's clock, None where it was adopted."""

    name: str
    vm: Any
    address: str
    shape: Shape
    clone_seconds: float | None


class Cloner:
    """Clones machines for one vCenter and recipe."""

    def __init__(self, vcenter: Vcenter, recipe: Recipe, undo_seconds: float = 120.0) -> None:
        """Keep them; nothing is asked yet. Undoing an opening takes ``undo_seconds`` at most."""
        self.undo_seconds = undo_seconds
        self.vcenter = vcenter
        self.recipe = recipe
        self._indices: dict[str, itertools.count[int]] = {}
        self._begun: set[str] = set()  # marks whose pool this harness has asked for
        self._cloning: dict[str, list[Any]] = {}  # a mark -> its clones' tasks under way
        self._started: dict[
            str, datetime
        ] = {}  # an opening's first VM -> when it was first started
        self._marked: set[str] = set()  # marks whose pool carries the attribute, as far as allowed

    def acquire(self, shapes: Sequence[Shape], owner: Owner) -> list[Machine]:
        """Return one clone a shape, up and with an address, in their order; or undo and raise.

        LaunchFailed names what failed, UnsuitableEnvironment what the recipe names and is missing.
        """
        indices = self._indices.setdefault(owner.mark, itertools.count())
        plan = {ownership.vm_name(owner, next(indices)): shape for shape in shapes}
        try:
            return self._come_up(plan, owner)
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
        """Destroy these clones, and the pool with the last of them; idempotent."""
        remove(self.vcenter, set(names), owner, self.recipe.clone_timeout)

    def undo(self, names: Iterable[str], owner: Owner) -> None:
        """Remove clones, including those still being created.

        Report what could not be removed; ``cleanup`` finds it later.

        Clones that are being made would come up after all others are gone: they are ended first.
        """
        if owner.mark not in self._begun:
            return  # nothing was made, and a pool of that name is someone else's
        doomed = sorted(names)
        ends = time.monotonic() + self.undo_seconds
        failures: list[Exception] = []
        try:
            settle(self.vcenter, self._cloning.pop(owner.mark, []), self.undo_seconds)
        except (*LOST, LaunchFailed, UnsuitableEnvironment) as error:
            failures.append(error)
        try:
            left = max(self.undo_seconds / 4, ends - time.monotonic())
            remove(self.vcenter, set(doomed), owner, left)
        except (*LOST, LaunchFailed, UnsuitableEnvironment) as error:
            failures.append(error)
        if failures:
            _log.warning(
                "vCenter %s: not undone (%s): there may be left %s and the pool %s;"
                " benchcast cleanup removes them",
                self.vcenter.address,
                failures[0],
                ", ".join(doomed),
                ownership.pool_name(owner),
            )

    def _come_up(self, plan: Plan, owner: Owner) -> list[Machine]:
        """Bring the plan about; a lost vCenter is waited for and what it has by then is kept.

        Every step looks first at what is there by the owner's mark, so that all can be repeated.
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
            anti_affinity.keep_apart(self.vcenter, self._cluster(), owner, self._mine(owner))
        if self.recipe.customize is None:
            self._power_on(vms)
        else:  # after a loss of the vCenter some are on: the time from before the loss counts
            since = self._started.setdefault(min(plan), clock(self.vcenter))
            self._power_on(vms)
            customization.wait(self.vcenter, vms, since, self.recipe.ip_timeout)
        addresses = tasks.addresses(self.vcenter, vms, self.recipe.ip_timeout)
        if self.recipe.anti_affinity:
            anti_affinity.verify(self.vcenter, self._mine(owner))
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
        """Clone what is not there yet, until all are.

        Names are the reconciliation: after a loss those that carry the mark are kept, and one
        that comes up late makes the second clone of its name a DuplicateName.
        """
        ends = time.monotonic() + self.recipe.clone_timeout
        while lacking := self._lacking(plan):
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
                        remedy="look at the pool's limits and at room in cluster and datastore",
                    )
        self._cloning.pop(owner.mark, None)

    def _begin(self, plan: Plan, owner: Owner) -> dict[str, Any]:
        """Start the clones, hosts taking them in turn; an owner's earlier ones count too."""
        found = templates.find(self.vcenter, self.recipe)
        pool, folder = self._pool(owner), self._folder()
        named = self.recipe.customize
        guest = None if named is None else customization.find(self.vcenter, named)
        hosts = {shape: self._hosts(shape) or [None] for shape in set(plan.values())}
        begun = {}
        for name, shape in plan.items():
            host = hosts[shape][ownership.index_of(name) % len(hosts[shape])]
            where = self._where(pool, host, folder)
            made = config(owner, shape)
            begun[name] = templates.clone(found, self.recipe, name, where, made, guest)
            self._cloning.setdefault(owner.mark, []).append(begun[name])
        return begun

    def _where(self, pool: Any, host: Any, folder: Any) -> Any:
        where = module().vim.VirtualMachineRelocateSpec(pool=pool, host=host, folder=folder)
        if self.recipe.datastore is not None:
            path = f"{self.recipe.datacenter}/datastore/{self.recipe.datastore}"
            where.datastore = self.vcenter.find(path, "datastore")
        return where

    def _reshape(self, vms: Mapping[str, Any], plan: Plan, owner: Owner) -> None:
        """Look at what the clones really got, and reconfigure those that got something else."""
        wrong = self._unlike(vms, plan, owner)
        bare = {name: Shape(cores=plan[name].cores, memory=plan[name].memory) for name in wrong}
        begun = {name: vms[name].Reconfigure(config(owner, shape)) for name, shape in bare.items()}
        self._tasks(begun, "reconfigure")
        if still := self._unlike({name: vms[name] for name in wrong}, plan, owner):
            shape = plan[still[0]]
            raise LaunchFailed(
                f"{still[0]} did not get {shape.cores} cores and {shape.memory // MIB} MiB",
                remedy="look at the template's reservations and the pool's limits",
            )

    def _give_gpus(self, vms: Mapping[str, Any], plan: Plan) -> None:
        """Look whether the clones have the GPUs that they were to have; add what is missing."""
        asked = {n: one for n, shape in plan.items() if (one := vgpus.wanted(shape)) is not None}
        spec = module().vim.VirtualMachineConfigSpec
        has = self._gpus(vms, asked)
        few = {name: n for name, n in has.items() if n < asked[name][1]}
        begun = {n: vms[n].Reconfigure(spec(**vgpus.added(plan[n], had))) for n, had in few.items()}
        self._tasks(begun, "add vGPUs to")
        for name, n in (has | self._gpus(vms, {name: asked[name] for name in few})).items():
            profile, count = asked[name]
            if n != count:
                raise LaunchFailed(
                    f"{name} has {n} vGPUs {profile!r}, not {count}",
                    remedy="take a template without vGPUs of its own; look at the cluster's GPUs",
                )

    def _gpus(self, vms: Mapping[str, Any], asked: Mapping[str, tuple[str, int]]) -> dict[str, int]:
        """Return how many vGPUs of the profile asked for each of these VMs has."""
        there = vgpus.present(self.vcenter, [vms[name] for name in asked])
        return {name: there[vms[name]._GetMoId()][profile] for name, (profile, _) in asked.items()}

    def _unlike(self, vms: Mapping[str, Any], plan: Plan, owner: Owner) -> list[str]:
        if not vms:
            return []
        paths = ["name", "config.hardware.numCPU", "config.hardware.memoryMB", "config.annotation"]
        kind, notes = module().vim.VirtualMachine, ownership.annotation(owner)
        rows = [got for _, got in bulk(self.vcenter, kind, paths, under=self._folder())]
        got = {row["name"]: [row.get(path) for path in paths[1:]] for row in rows}
        want = {name: [plan[name].cores, plan[name].memory // MIB, notes] for name in vms}
        return [name for name in vms if got.get(name) != want[name]]

    def _power_on(self, vms: Mapping[str, Any]) -> None:
        """Start those that are off; one that another call started meanwhile is no failure."""
        kind, paths = module().vim.VirtualMachine, ["name", "runtime.powerState"]
        rows = [got for _, got in bulk(self.vcenter, kind, paths, under=self._folder())]
        off = {got["name"] for got in rows if got.get("runtime.powerState") != "poweredOn"}
        begun = {name: vm.PowerOn() for name, vm in vms.items() if name in off}
        self._tasks(begun, "power on", "InvalidPowerState")

    def _tasks(self, begun: Mapping[str, Any], verb: str, *harmless: str) -> None:
        ended = tasks.tasks(self.vcenter, begun, self.recipe.clone_timeout)
        for name, done in ended.items():
            if done.fault not in (None, *harmless):
                raise LaunchFailed(f"{verb} {name}: {done.fault}: {done.message}")

    def _lacking(self, names: Iterable[str]) -> list[str]:
        wanted = list(names)
        present = self._present(wanted)
        return [name for name in wanted if name not in present]

    def _present(self, names: Iterable[str]) -> dict[str, Any]:
        wanted = set(names)
        return {name: vm for name, vm in self._names().items() if name in wanted}

    def _mine(self, owner: Owner) -> dict[str, Any]:
        """Return every VM of the owner, also those of earlier calls."""
        return {name: vm for name, vm in self._names().items() if ownership.belongs(name, owner)}

    def _names(self) -> dict[str, Any]:
        kind = module().vim.VirtualMachine
        rows = bulk(self.vcenter, kind, ["name"], under=self._folder())
        return {got["name"]: vm for vm, got in rows if "name" in got}

    def _pool(self, owner: Owner) -> Any:
        """Return the owner's pool: made now, or by an earlier call of this harness."""
        name = ownership.pool_name(owner)
        parent = self._cluster().resourcePool
        found = resource_pools.find(self.vcenter, parent, name)
        if found is None:
            self._begun.add(owner.mark)
            try:
                found = resource_pools.create(parent, name, self.recipe.pool)
            except LaunchFailed:
                self._begun.discard(owner.mark)
                raise
        elif owner.mark not in self._begun or not self._is_ours(found, owner):
            raise resource_pools.taken(name)
        elif owner.mark in self._marked:
            return found
        resource_pools.set_owner(
            self.vcenter, found, owner
        )  # also where the call that made it got no answer
        self._marked.add(owner.mark)
        return found

    def _is_ours(self, pool: Any, owner: Owner) -> bool:
        known = {one._GetMoId(): whose.mark for one, whose in resource_pools.owned(self.vcenter)}
        return known.get(pool._GetMoId()) == owner.mark

    def _cluster(self) -> Any:
        return self.vcenter.find(f"{self.recipe.datacenter}/host/{self.recipe.cluster}", "cluster")

    def _folder(self) -> Any:
        path = f"{self.recipe.datacenter}/vm"
        path += "" if self.recipe.folder is None else f"/{self.recipe.folder}"
        return self.vcenter.find(path, "folder")

    def _hosts(self, shape: Shape) -> list[Any]:
        """Return the hosts that take clones in turn: those named, or all where it matters."""
        path = f"{self.recipe.datacenter}/host/{self.recipe.cluster}"
        asked = vgpus.wanted(shape)
        if self.recipe.hosts:
            found = [self.vcenter.find(f"{path}/{name}", "host") for name in self.recipe.hosts]
        elif self.recipe.anti_affinity or asked is not None:
            found = anti_affinity.hosts(self.vcenter, self._cluster())
        else:
            return []
        if asked is None:
            return found
        if offering := vgpus.offering(self.vcenter, found, asked[0]):
            return offering
        raise UnsuitableEnvironment(
            f"vCenter {self.vcenter.address}: no host of the cluster {self.recipe.cluster!r}"
            f" offers the vGPU profile {asked[0]!r}",
            remedy="say another in worker.gpu, or other hosts",
        )


def config(owner: Owner, shape: Shape) -> Any:
    """Return what a clone of the owner is configured to be."""
    vim = module().vim
    return vim.VirtualMachineConfigSpec(
        numCPUs=shape.cores,
        memoryMB=shape.memory // MIB,
        annotation=ownership.annotation(owner),
        extraConfig=[vim.OptionValue(key=ownership.GUESTINFO, value=ownership.annotation(owner))],
        **vgpus.added(shape),
    )
