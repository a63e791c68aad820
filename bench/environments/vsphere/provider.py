"""Clones as hosts: created for a cluster, reached by SSH, and destroyed when released.

Each worker has a clone of its own, and so has the driver if the engine uses one. A clone has the
worker's cores, and its memory plus that of the guest's system. Cleanup destroys whole clones, by
the owner's tag in their names.
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
    """How to log in to clones. Without ``known_hosts``, vCenter reports their keys (guestinfo).

    Without ``python``, uv builds the engines' environments on the clones.
    ``alias`` is the name of the template's key in that file, or the name in an authority's
    certificates. ``timeout`` bounds the login once a clone has an address.
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
    """A host on a clone; ``provision_seconds`` is the cloning time by vCenter's clock."""

    def __init__(
        self,
        channel: SshChannel,
        folders: Workspace,
        owner: Owner,
        index: int,
        clone: cloning.Machine,
        hypervisor: Mapping[str, str],
    ) -> None:
        """Use a tagged folder on the clone; ``hypervisor`` holds facts about its ESXi host."""
        super().__init__(channel, folders, clone.address, owner, index)
        self.channel: SshChannel = channel
        self.clone = clone
        self.provision_seconds = clone.clone_seconds
        self.hypervisor = hypervisor
        self._with_hypervisor = _with_hypervisor(super().machine(), hypervisor)

    def machine(self) -> Machine:
        """Return the guest's facts with those of its hypervisor."""
        return self._with_hypervisor


class VsphereProvider:
    """Clones hosts, keeps suitable ones, and destroys the others."""

    def __init__(
        self,
        connect: Callable[[], Vcenter],
        recipe: Recipe,
        login: Login,
        *,
        system: int,
        driverless: frozenset[str],
    ) -> None:
        """Add ``system`` bytes for the guest's system; ``driverless`` engines get no driver."""
        self._connect = connect
        self.recipe = recipe
        self.login = login
        self._system = system
        self._driverless = driverless
        self.timeouts = Timeouts()  # of the channels to clones
        self._on_clone: dict[str, set[int]] = {}  # a clone's name -> indices of the hosts on it
        self._indices: dict[str, itertools.count[int]] = {}

    @functools.cached_property
    def vcenter(self) -> Vcenter:
        """The connection to vCenter, opened on first use."""
        return self._connect()

    @functools.cached_property
    def cloner(self) -> Cloner:
        """The cloner, made on first use."""
        return Cloner(self.vcenter, self.recipe)

    def shapes(self, spec: ClusterSpec) -> list[Shape]:
        """Return the shapes of a cluster's clones: the driver's first, if the engine uses one."""
        driver = [] if spec.engine in self._driverless else [self._sized(spec.driver)]
        return driver + [self._sized(spec.worker)] * spec.workers

    def scale(
        self, hosts: Sequence[contracts.Host], spec: ClusterSpec, owner: Owner
    ) -> list[contracts.Host]:
        """Return a cluster's hosts, driver first: suitable ones of ``hosts``, and new ones.

        It releases other hosts first, so that there are never more than the cluster needs. On
        LaunchFailed it removes new hosts; the caller keeps the present ones.
        """
        clones = [host for host in hosts if isinstance(host, CloneHost)]
        driver, workers = self._kept(clones, spec)
        self.release([host for host in clones if host is not driver and host not in workers])
        has_driver = spec.engine not in self._driverless
        missing = [self._sized(spec.driver)] * (has_driver and driver is None)
        missing += [self._sized(spec.worker)] * (spec.workers - len(workers))
        fresh = self._new(missing, owner) if missing else []
        try:
            if has_driver and driver is None:
                driver, *added = fresh
            else:
                added = fresh
            workers += added
            return [driver or self._beside(workers[0], owner), *workers]
        except BaseException:
            self.release(fresh)
            raise

    def release(self, hosts: Sequence[contracts.Host]) -> None:
        """Destroy the clones of these hosts; on a clone with other hosts, close only these."""
        leaving: dict[str, list[CloneHost]] = {}
        for host in hosts:
            if not isinstance(host, CloneHost):
                raise TypeError(f"not a clone: {host!r}")
            if host.index in self._on_clone.get(host.clone.name, ()):
                leaving.setdefault(host.clone.name, []).append(host)
        doomed: dict[str, tuple[Owner, list[str]]] = {}
        for name, clone_hosts in leaving.items():
            if {host_.index for host_ in clone_hosts} == self._on_clone[name]:
                owner = clone_hosts[0].owner
                doomed.setdefault(owner.tag, (owner, []))[1].append(name)
                clone_hosts[0].channel.close()
                continue
            for host_ in clone_hosts:
                host_.close()
                self._on_clone[name].discard(host_.index)
        for owner, names in doomed.values():
            self.cloner.release(names, owner)
            for name in names:
                self._on_clone.pop(name, None)

    def owned(self) -> Iterable[OwnedResource]:
        """List what carries an owner's tag; log a vCenter that cannot be asked.

        It raises no error, because the caller may still look at other environments.
        """
        try:
            vcenter = self.vcenter
            with vcenter.errors_named():
                return removal.owned(vcenter, self.recipe.clone_timeout)
        except (LaunchFailed, UserError) as error:
            _log.warning("cannot look for leftovers: %s", error)
            return []

    def install_engine(
        self, hosts: Sequence[contracts.Host], engine: Engine
    ) -> list[contracts.Host]:
        """Build the engine's Python environment on the clones, unless the study names ``python``.

        Returns the hosts. LaunchFailed if one build fails: all clones are alike.
        """
        if self.login.python is None:
            clones = [host for host in hosts if isinstance(host, CloneHost)]
            for failure in python_env.install_engine(clones, engine, self.login.at_once).values():
                raise failure
        return list(hosts)

    def sources(self, hosts: Sequence[contracts.Host]) -> Sequence[MetricSource]:
        """Return the guests' samplers, vCenter's counters and the migration watcher."""
        clones = [host for host in hosts if isinstance(host, CloneHost)]
        vms: dict[str, object] = {}
        for rank, host in reversed(list(enumerate(clones))):
            if rank or host.clone.name not in {clone.clone.name for clone in clones[1:]}:
                vms["driver" if rank == 0 else f"worker-{rank - 1}"] = host.clone.vm
        return [
            *samplers(clones),
            VcenterCounters(self.vcenter, vms),
            MigrationWatcher(self.vcenter, vms, self.recipe.hosts),
        ]

    def close(self) -> None:
        """End the session, if any; a later call starts another."""
        if (vcenter := self.__dict__.pop("vcenter", None)) is not None:
            self.__dict__.pop("cloner", None)
            vcenter.close()

    def _sized(self, shape: Shape) -> Shape:
        memory = -(-(shape.memory + self._system) // MEMORY_STEP) * MEMORY_STEP
        return msgspec.structs.replace(shape, memory=memory, cpu_limit=None)

    def _kept(
        self, hosts: Sequence[CloneHost], spec: ClusterSpec
    ) -> tuple[CloneHost | None, list[CloneHost]]:
        """Return the driver and the workers that suit the new spec."""
        if not hosts:
            return None, []
        driver, *workers = hosts
        size = self._sized(spec.worker)
        keeping = [worker for worker in workers if worker.clone.shape == size][: spec.workers]
        beside = driver.clone.name in {worker.clone.name for worker in workers}
        if spec.engine in self._driverless:
            stays = beside and bool(keeping) and driver.clone.name == keeping[0].clone.name
        else:
            stays = not beside and driver.clone.shape == self._sized(spec.driver)
        return driver if stays else None, keeping

    def _new(self, shapes: Sequence[Shape], owner: Owner) -> list[CloneHost]:
        """Clone and log in to the clones, all or none."""
        clones = self.cloner.acquire(shapes, owner)
        try:
            vms = {clone.name: clone.vm for clone in clones}
            with self.vcenter.errors_named():
                hypervisors = capacity.hypervisors(self.vcenter, self.recipe, vms)
            channels = self._channels(clones)
            self._reach(channels)
            return [
                self._host(channel, owner, clone, hypervisors[clone.name])
                for channel, clone in zip(channels, clones, strict=True)
            ]
        except BaseException:
            for clone in clones:
                self._on_clone.pop(clone.name, None)
            self.cloner.undo([clone.name for clone in clones], owner)
            raise

    def _channels(self, clones: Sequence[cloning.Machine]) -> list[SshChannel]:
        login = self.login
        keys: Mapping[str, Path | bytes]
        if login.known_hosts is None:
            vms = {clone.name: clone.vm for clone in clones}
            with self.vcenter.errors_named():
                keys = host_keys.fetch(self.vcenter, vms, self.recipe.ip_timeout)
        else:
            keys = dict.fromkeys((clone.name for clone in clones), login.known_hosts)
        return [
            SshChannel(
                Address(
                    name=clone.name,
                    target=clone.address,
                    port=login.port,
                    user=login.user,
                    key=login.key,
                    known_hosts=keys[clone.name],
                    alias=login.alias,
                    python=login.python or "python3",
                    passphrase=login.passphrase,
                ),
                self.timeouts,
            )
            for clone in clones
        ]

    def _reach(self, channels: Sequence[SshChannel]) -> None:
        """Log in to all clones; retry those that still boot. LaunchFailed names one that fails."""
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
        """Return a driver's host on a worker's clone."""
        return self._host(worker.channel, owner, worker.clone, worker.hypervisor)

    def _host(
        self,
        channel: SshChannel,
        owner: Owner,
        clone: cloning.Machine,
        hypervisor: Mapping[str, str],
    ) -> CloneHost:
        folders = workspace.workspace(channel, self.login.folder)
        index = next(self._indices.setdefault(owner.tag, itertools.count()))
        host = CloneHost(channel, folders, owner, index, clone, hypervisor)
        host.create()
        self._on_clone.setdefault(clone.name, set()).add(index)
        return host


def _with_hypervisor(machine: Machine, hypervisor: Mapping[str, str]) -> Machine:
    """Return a machine's facts with its hypervisor's; the digest covers all of them."""
    fields = msgspec.to_builtins(machine)
    facts = {name: value for name, value in fields.items() if name not in ("record", "digest")}
    return msgspec.structs.replace(
        machine,
        hypervisor=dict(hypervisor),
        digest=digest({**facts, "hypervisor": dict(hypervisor)}),
    )
