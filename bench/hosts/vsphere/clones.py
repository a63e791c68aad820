"""Cloning workers into a pool of their own: whole, or undone; found again by mark, never twice."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from bench.errors import EnvironmentUnfit, LaunchFailed
from bench.hosts.vsphere import marks, pools, wait
from bench.hosts.vsphere.client import LOST, Vcenter, module
from bench.hosts.vsphere.inventory import bulk
from bench.hosts.vsphere.pools import MIB, Pool
from bench.hosts.vsphere.removal import remove
from bench.model import Owner, Shape


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What to clone and where to; times in seconds, paths below the datacenter's folders.

    ``clone`` is linked (from ``snapshot``, or the template's current one) or full. ``hosts``
    are ESXi hosts of the cluster that take the clones in turn; none leaves it to the vCenter.
    """

    datacenter: str
    cluster: str
    template: str
    snapshot: str | None = None
    clone: Literal["linked", "full"] = "linked"
    folder: str | None = None
    datastore: str | None = None
    hosts: tuple[str, ...] = ()
    pool: Pool = Pool()
    clone_timeout: float = 1800.0
    ip_timeout: float = 600.0


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A clone that is up. ``clone_seconds`` by the vCenter's clock, None where it was adopted."""

    name: str
    vm: Any
    address: str
    cores: int
    memory: int
    clone_seconds: float | None


class Cloner:
    """Clones machines for one vCenter and recipe."""

    def __init__(self, vcenter: Vcenter, recipe: Recipe) -> None:
        """Keep both; nothing is asked yet."""
        self.vcenter = vcenter
        self.recipe = recipe
        self._indices: dict[str, itertools.count[int]] = {}

    def acquire(self, count: int, owner: Owner, shape: Shape) -> list[Machine]:
        """Return ``count`` clones of ``shape`` that are up and have addresses, or undo and raise.

        LaunchFailed names what failed; EnvironmentUnfit what the recipe names and is not there.
        """
        indices = self._indices.setdefault(owner.mark, itertools.count())
        names = [marks.vm_name(owner, n) for n in itertools.islice(indices, count)]
        try:
            return self._bring_up(names, owner, shape, self._source())
        except LOST as error:
            self._undo(names, owner)
            raise self.vcenter.unreachable(error) from None
        except BaseException:
            self._undo(names, owner)
            raise

    def release(self, machines: Iterable[Machine], owner: Owner) -> None:
        """Destroy these clones, and the pool with the last of them; idempotent."""
        remove(self.vcenter, {one.name for one in machines}, owner, self.recipe.clone_timeout)

    def _bring_up(
        self, names: Sequence[str], owner: Owner, shape: Shape, source: tuple[Any, Any]
    ) -> list[Machine]:
        seconds = self._clone(names, owner, shape, source)
        vms = self._present(names)
        self._reshape(vms, owner, shape)
        self._tasks({name: vm.PowerOn() for name, vm in vms.items()}, "power on")
        addresses = wait.addresses(self.vcenter, vms, self.recipe.ip_timeout)
        return [
            Machine(
                name=name,
                vm=vms[name],
                address=addresses[name],
                cores=shape.cores,
                memory=shape.memory,
                clone_seconds=seconds.get(name),
            )
            for name in names
        ]

    def _clone(
        self, names: Sequence[str], owner: Owner, shape: Shape, source: tuple[Any, Any]
    ) -> dict[str, float | None]:
        """Clone what is not there yet, until all are; a lost vCenter is waited for.

        Names are the reconciliation: after a loss those that carry the mark are kept, and one
        that comes up late makes the second clone of its name a DuplicateName.
        """
        ends = time.monotonic() + self.recipe.clone_timeout
        seconds: dict[str, float | None] = {}
        while lacking := self._lacking(names):
            left = ends - time.monotonic()
            if left <= 0:
                raise LaunchFailed(f"not cloned in {self.recipe.clone_timeout:g} s: {lacking[0]}")
            try:
                seconds |= self._clone_once(lacking, owner, shape, source, left)
            except (*LOST, module().vmodl.fault.ManagedObjectNotFound):
                self.vcenter.reconnect(max(0.0, ends - time.monotonic()))
                source = self._source()
        return seconds

    def _clone_once(
        self,
        names: Sequence[str],
        owner: Owner,
        shape: Shape,
        source: tuple[Any, Any],
        timeout: float,
    ) -> dict[str, float | None]:
        vm, snapshot = source
        pool, folder = self._pool(owner), self._folder()
        hosts = self._hosts()
        begun = {
            name: vm.CloneVM_Task(folder, name, self._spec(pool, host, snapshot, owner, shape))
            for name, host in zip(names, itertools.cycle(hosts or [None]), strict=False)
        }
        ended = wait.tasks(self.vcenter, begun, timeout)
        for name, done in ended.items():
            if done.fault not in (None, "DuplicateName"):
                raise LaunchFailed(f"clone {name}: {done.fault}: {done.message}")
        return {name: done.seconds for name, done in ended.items() if done.fault is None}

    def _spec(self, pool: Any, host: Any, snapshot: Any, owner: Owner, shape: Shape) -> Any:
        vim = module().vim
        where = vim.VirtualMachineRelocateSpec(pool=pool, host=host)
        if self.recipe.clone == "linked":
            where.diskMoveType = "createNewChildDiskBacking"
        if self.recipe.datastore is not None:
            path = f"{self.recipe.datacenter}/datastore/{self.recipe.datastore}"
            where.datastore = self.vcenter.find(path, "datastore")
        return vim.VirtualMachineCloneSpec(
            location=where,
            template=False,
            powerOn=False,
            snapshot=snapshot,
            config=_config(owner, shape),
        )

    def _reshape(self, vms: dict[str, Any], owner: Owner, shape: Shape) -> None:
        """Look at what the clones really got, and reconfigure those that got something else."""
        wrong = self._unlike(vms, owner, shape)
        spec = _config(owner, shape)
        self._tasks({name: vms[name].Reconfigure(spec) for name in wrong}, "reconfigure")
        if still := self._unlike({name: vms[name] for name in wrong}, owner, shape):
            raise LaunchFailed(
                f"{still[0]} did not get {shape.cores} cores and {shape.memory // MIB} MiB",
                remedy="look at the template's reservations and the pool's limits",
            )

    def _unlike(self, vms: dict[str, Any], owner: Owner, shape: Shape) -> list[str]:
        if not vms:
            return []
        paths = ["name", "config.hardware.numCPU", "config.hardware.memoryMB", "config.annotation"]
        want = [shape.cores, shape.memory // MIB, marks.annotation(owner)]
        kind = module().vim.VirtualMachine
        rows = [got for _, got in bulk(self.vcenter, kind, paths, under=self._folder())]
        good = {got["name"] for got in rows if [got.get(path) for path in paths[1:]] == want}
        return [name for name in vms if name not in good]

    def _tasks(self, begun: dict[str, Any], verb: str) -> None:
        ended = wait.tasks(self.vcenter, begun, self.recipe.clone_timeout)
        for name, done in ended.items():
            if done.fault is not None:
                raise LaunchFailed(f"{verb} {name}: {done.fault}: {done.message}")

    def _lacking(self, names: Sequence[str]) -> list[str]:
        present = self._present(names)
        return [name for name in names if name not in present]

    def _present(self, names: Sequence[str]) -> dict[str, Any]:
        kind = module().vim.VirtualMachine
        rows = bulk(self.vcenter, kind, ["name"], under=self._folder())
        wanted = set(names)
        return {got["name"]: vm for vm, got in rows if got.get("name") in wanted}

    def _undo(self, names: Sequence[str], owner: Owner) -> None:
        """Remove what came up; a vCenter that is gone leaves it to the next cleanup."""
        with contextlib.suppress(*LOST, LaunchFailed):
            remove(self.vcenter, set(names), owner, self.recipe.clone_timeout)

    def _pool(self, owner: Owner) -> Any:
        path = f"{self.recipe.datacenter}/host/{self.recipe.cluster}"
        parent = self.vcenter.find(path, "cluster").resourcePool
        name = marks.pool_name(owner)
        return pools.find(self.vcenter, parent, name) or pools.create(
            parent, name, self.recipe.pool
        )

    def _folder(self) -> Any:
        path = f"{self.recipe.datacenter}/vm"
        path += "" if self.recipe.folder is None else f"/{self.recipe.folder}"
        return self.vcenter.find(path, "folder")

    def _hosts(self) -> list[Any]:
        path = f"{self.recipe.datacenter}/host/{self.recipe.cluster}"
        return [self.vcenter.find(f"{path}/{name}", "host") for name in self.recipe.hosts]

    def _source(self) -> tuple[Any, Any]:
        """Return the template and, for a linked clone, its snapshot."""
        path = f"{self.recipe.datacenter}/vm/{self.recipe.template}"
        vm = self.vcenter.find(path, "template")
        if self.recipe.clone == "full":
            return vm, None
        tree = vm.snapshot
        if tree is not None and self.recipe.snapshot is None:
            return vm, tree.currentSnapshot
        name = self.recipe.snapshot
        for node in _nodes(() if tree is None else tree.rootSnapshotList):
            if node.name == name:
                return vm, node.snapshot
        raise EnvironmentUnfit(
            f"the template {self.recipe.template!r} has no snapshot {name or ''}".rstrip(),
            remedy="take one, or say clone = 'full'",
        )


def _nodes(roots: Iterable[Any]) -> Iterable[Any]:
    for node in roots:
        yield node
        yield from _nodes(node.childSnapshotList or ())


def _config(owner: Owner, shape: Shape) -> Any:
    vim = module().vim
    return vim.VirtualMachineConfigSpec(
        numCPUs=shape.cores,
        memoryMB=shape.memory // MIB,
        annotation=marks.annotation(owner),
        extraConfig=[vim.OptionValue(key=marks.GUESTINFO, value=marks.annotation(owner))],
    )
