"""Clones as hosts: made to measure for a need, reached by SSH, and gone when they are released.

A worker has a clone of its own, and so has a driver where the engine uses one; the clone has the
worker's cores and its memory, with what the guest's system needs on top. Nothing is kept in a
clone that must be cleaned up: it goes as a whole, by the owner's mark in its name.
"""

from __future__ import annotations

import functools
import itertools
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from bench import contracts
from bench.contracts import Engine, MetricSource, OwnedResource
from bench.digests import digest
from bench.environments.vsphere import capacity, cloning, host_keys, removal
from bench.environments.vsphere.client import Vcenter
from bench.environments.vsphere.cloning import Cloner
from bench.environments.vsphere.counters import VcenterCounters
from bench.environments.vsphere.migrations import MigrationWatcher
from bench.environments.vsphere.recipe import Recipe
from bench.errors import HostLost, LaunchFailed, UserError
from bench.hosts import python_env, workspace
from bench.hosts.channel import Timeouts
from bench.hosts.host import Host, Workspace
from bench.hosts.login import Address
from bench.hosts.sampling import samplers
from bench.hosts.ssh import SshChannel
from bench.records.cluster import ClusterSpec, Owner
from bench.records.results import Machine
from bench.records.study import Shape

MEMORY_STEP = 4 << 20  # bytes: vSphere gives memory in multiples of 4 MiB
PAUSE = 1.0  # seconds between tries to log in to a clone that is still booting
_log = logging.getLogger(__name__)


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """How to log in to clones. ``known_hosts`` None: vCenter tells their keys (guestinfo).

    Without ``python`` the engines' environments are built on the clones.
    ``alias`` is the name under which the file has the template's key, or by which an authority's
    certificates know the clones. ``timeout`` is for logging in once there is an address.
    """

    user: str | None
    port: int = 22
    key: Path | None = None
    passphrase: str | None = None
    python: str | None = None
    known_hosts: Path | None = None
    alias: str | None = None
    folder: str = workspace.FOLDER
    at_once: int = workspace.AT_ONCE
    timeout: float = 300.0

    def __repr__(self) -> str:
        """Leave the passphrase out."""
        return f"Login({self.user}, port={self.port})"


class CloneHost(Host):
    """A place on a clone; ``provision_seconds`` is what cloning it took, by the vCenter's clock."""

    def __init__(
        self,
        channel: SshChannel,
        folders: Workspace,
        owner: Owner,
        index: int,
        clone: cloning.Machine,
        hypervisor: Mapping[str, str],
    ) -> None:
        """Take a tagged folder on the clone; ``hypervisor`` are facts of its hypervisor."""
        super().__init__(channel, folders, clone.address, owner, index)
        self.channel: SshChannel = channel
        self.clone = clone
        self.provision_seconds = clone.clone_seconds
        self.hypervisor = hypervisor
        self._placed = _placed(super().machine(), hypervisor)

    def machine(self) -> Machine:
        """Return the guest's facts with those of its hypervisor."""
        return self._placed


class VsphereProvider:
    """Clones hosts, keeps those that still fit, and destroys the others."""

    def __init__(
        self,
        connect: Callable[[], Vcenter],
        recipe: Recipe,
        login: Login,
        *,
        system: int,
        driverless: frozenset[str],
    ) -> None:
        """``system`` bytes are the guest's own; engines of ``driverless`` use no driver's host."""
        self._connect = connect
        self.recipe = recipe
        self.login = login
        self._system = system
        self._driverless = driverless
        self.timeouts = Timeouts()  # of the channels to clones
        self._held: dict[str, set[int]] = {}  # a clone's name -> the places on it
        self._indices: dict[str, itertools.count[int]] = {}

    @functools.cached_property
    def vcenter(self) -> Vcenter:
        """The connection, made when it is first needed."""
        return self._connect()

    @functools.cached_property
    def cloner(self) -> Cloner:
        """What clones."""
        return Cloner(self.vcenter, self.recipe)

    def shapes(self, need: ClusterSpec) -> list[Shape]:
        """Return what is cloned for a need: the driver's first, where the engine uses one."""
        driver = [] if need.engine in self._driverless else [self._sized(need.driver)]
        return driver + [self._sized(need.worker)] * need.workers

    def scale(
        self, hosts: Sequence[contracts.Host], need: ClusterSpec, owner: Owner
    ) -> list[contracts.Host]:
        """Return the hosts of a need, driver first: of ``hosts`` those that fit, and new ones.

        What does not fit goes first, so that there are never more than the need takes. On
        LaunchFailed nothing new is left; what was kept stays the caller's.
        """
        given = [host for host in hosts if isinstance(host, CloneHost)]
        driver, workers = self._kept(given, need)
        self.release([one for one in given if one is not driver and one not in workers])
        own = need.engine not in self._driverless
        lacking = [self._sized(need.driver)] * (own and driver is None)
        lacking += [self._sized(need.worker)] * (need.workers - len(workers))
        fresh = self._new(lacking, owner) if lacking else []
        try:
            if own and driver is None:
                driver, *added = fresh
            else:
                added = fresh
            workers += added
            return [driver or self._beside(workers[0], owner), *workers]
        except BaseException:
            self.release(fresh)
            raise

    def release(self, hosts: Sequence[contracts.Host]) -> None:
        """Destroy the clones of these hosts, or end a place where others stay; idempotent."""
        leaving: dict[str, list[CloneHost]] = {}
        for host in hosts:
            if not isinstance(host, CloneHost):
                raise TypeError(f"not a clone: {host!r}")
            if host.index in self._held.get(host.clone.name, ()):
                leaving.setdefault(host.clone.name, []).append(host)
        doomed: dict[str, tuple[Owner, list[str]]] = {}
        for name, places in leaving.items():
            if {one.index for one in places} == self._held[name]:
                owner = places[0].owner
                doomed.setdefault(owner.mark, (owner, []))[1].append(name)
                places[0].channel.close()
                continue
            for one in places:
                one.close()
                self._held[name].discard(one.index)
        for owner, names in doomed.values():
            self.cloner.release(names, owner)
            for name in names:
                self._held.pop(name, None)

    def owned(self) -> Iterable[OwnedResource]:
        """List what carries a mark; a vCenter that cannot be asked is warned of.

        Others may still be looked at: records hold no user, and a finished session left nothing.
        """
        try:
            vcenter = self.vcenter
            with vcenter.errors_named():
                return removal.owned(vcenter, self.recipe.clone_timeout)
        except (LaunchFailed, UserError) as error:
            _log.warning("what may be left there is not known: %s", error)
            return []

    def install_engine(
        self, hosts: Sequence[contracts.Host], engine: Engine
    ) -> list[contracts.Host]:
        """Build the engine's Python environment on the clones that lack it, where none is said.

        Returns the hosts. Clones are alike: where it cannot be built on one, LaunchFailed.
        """
        if self.login.python is None:
            places = [host for host in hosts if isinstance(host, CloneHost)]
            for failure in python_env.install_engine(places, engine, self.login.at_once).values():
                raise failure
        return list(hosts)

    def sources(self, hosts: Sequence[contracts.Host]) -> Sequence[MetricSource]:
        """Return the guests' samplers, vCenter's counters and the watch over moves."""
        places = [host for host in hosts if isinstance(host, CloneHost)]
        vms: dict[str, object] = {}
        for rank, host in reversed(list(enumerate(places))):
            if rank or host.clone.name not in {one.clone.name for one in places[1:]}:
                vms["driver" if rank == 0 else f"worker-{rank - 1}"] = host.clone.vm
        return [
            *samplers(places),
            VcenterCounters(self.vcenter, vms),
            MigrationWatcher(self.vcenter, vms, self.recipe.hosts),
        ]

    def close(self) -> None:
        """End the session, if there is one; a later call starts another."""
        if (vcenter := self.__dict__.pop("vcenter", None)) is not None:
            self.__dict__.pop("cloner", None)
            vcenter.close()

    def _sized(self, shape: Shape) -> Shape:
        memory = -(-(shape.memory + self._system) // MEMORY_STEP) * MEMORY_STEP
        return msgspec.structs.replace(shape, memory=memory, cpu_limit=None)

    def _kept(
        self, hosts: Sequence[CloneHost], need: ClusterSpec
    ) -> tuple[CloneHost | None, list[CloneHost]]:
        """Return the driver, if it can stay, and the workers that can."""
        if not hosts:
            return None, []
        driver, *workers = hosts
        size = self._sized(need.worker)
        kept = [one for one in workers if one.clone.shape == size][: need.workers]
        beside = driver.clone.name in {one.clone.name for one in workers}
        if need.engine in self._driverless:
            stays = beside and bool(kept) and driver.clone.name == kept[0].clone.name
        else:
            stays = not beside and driver.clone.shape == self._sized(need.driver)
        return driver if stays else None, kept

    def _new(self, shapes: Sequence[Shape], owner: Owner) -> list[CloneHost]:
        """Clone, and log in to the clones; all or none."""
        made = self.cloner.acquire(shapes, owner)
        try:
            vms = {one.name: one.vm for one in made}
            with self.vcenter.errors_named():
                known = capacity.hypervisors(self.vcenter, self.recipe, vms)
            channels = self._channels(made)
            self._reach(channels)
            return [
                self._host(channel, owner, clone, known[clone.name])
                for channel, clone in zip(channels, made, strict=True)
            ]
        except BaseException:
            for one in made:
                self._held.pop(one.name, None)
            self.cloner.undo([one.name for one in made], owner)
            raise

    def _channels(self, made: Sequence[cloning.Machine]) -> list[SshChannel]:
        login = self.login
        known: Mapping[str, Path | bytes]
        if login.known_hosts is None:
            vms = {one.name: one.vm for one in made}
            with self.vcenter.errors_named():
                known = host_keys.fetch(self.vcenter, vms, self.recipe.ip_timeout)
        else:
            known = dict.fromkeys((one.name for one in made), login.known_hosts)
        return [
            SshChannel(
                Address(
                    name=one.name,
                    target=one.address,
                    port=login.port,
                    user=login.user,
                    key=login.key,
                    known_hosts=known[one.name],
                    alias=login.alias,
                    python=login.python or "python3",
                    passphrase=login.passphrase,
                ),
                self.timeouts,
            )
            for one in made
        ]

    def _reach(self, channels: Sequence[SshChannel]) -> None:
        """Log in to all, and to those that still boot again and again; LaunchFailed names one."""
        ends = time.monotonic() + self.login.timeout
        waiting = list(channels)
        while True:
            answers = workspace.prepare(waiting, self.login.folder, self.login.at_once)
            late: list[tuple[SshChannel, HostLost]] = []
            for channel, answer in zip(waiting, answers, strict=True):
                if isinstance(answer, HostLost):
                    late.append((channel, answer))
                elif isinstance(answer, LaunchFailed):
                    raise answer
            if not late:
                return
            if time.monotonic() >= ends:
                raise late[0][1]
            waiting = [channel for channel, _ in late]
            time.sleep(PAUSE)

    def _beside(self, worker: CloneHost, owner: Owner) -> CloneHost:
        """Return a driver's place on a worker's clone."""
        return self._host(worker.channel, owner, worker.clone, worker.hypervisor)

    def _host(
        self,
        channel: SshChannel,
        owner: Owner,
        clone: cloning.Machine,
        hypervisor: Mapping[str, str],
    ) -> CloneHost:
        folders = workspace.workspace(channel, self.login.folder)
        index = next(self._indices.setdefault(owner.mark, itertools.count()))
        host = CloneHost(channel, folders, owner, index, clone, hypervisor)
        host.create()
        self._held.setdefault(clone.name, set()).add(index)
        return host


def _placed(machine: Machine, hypervisor: Mapping[str, str]) -> Machine:
    """Return a machine's facts with its hypervisor's; the digest is over all of them."""
    known = msgspec.to_builtins(machine)
    facts = {name: value for name, value in known.items() if name not in ("record", "digest")}
    return msgspec.structs.replace(
        machine,
        hypervisor=dict(hypervisor),
        digest=digest({**facts, "hypervisor": dict(hypervisor)}),
    )
