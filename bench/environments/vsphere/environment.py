"""Workers that are cloned on a vSphere cluster for each cluster, and removed afterwards."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from bench.contracts import Environment, Finding
from bench.engines import ENGINES
from bench.environments.host_environment import HostEnvironment
from bench.environments.vsphere import checks
from bench.environments.vsphere import vgpus as gpus
from bench.environments.vsphere.capacity import Survey, survey
from bench.environments.vsphere.client import LOST, Vcenter, module
from bench.environments.vsphere.provider import Login, VsphereProvider
from bench.environments.vsphere.recipe import Recipe, describe_limits
from bench.environments.vsphere.resource_pools import MIB, Allocation, Pool
from bench.environments.vsphere.settings import PoolSettings, Settings
from bench.errors import LaunchFailed, MissingExtra, UnsuitableEnvironment, UserError
from bench.hosts.login import known_hosts, need_asyncssh
from bench.records.cluster import ClusterSpec
from bench.records.study import EnvironmentSpec, Shape
from bench.secrets import read
from bench.text import plural
from bench.units import format_memory, parse_duration, parse_memory

KIND = "vsphere"


class VsphereEnvironment(HostEnvironment):
    """Spark and TensorFlow on new clones for each cluster."""

    kind = KIND

    def __init__(self, provider: VsphereProvider, address: str) -> None:
        """Prepare the environment; it connects when it is first asked."""
        super().__init__(provider, ENGINES)
        self.clones = provider
        self._address = address

    def machines(self, spec: ClusterSpec) -> int:
        """Return how many VMs a cluster takes: its workers, and Spark's driver."""
        return len(self.clones.shapes(spec))

    def machines_used(self) -> frozenset[str]:
        """Return the vSphere cluster: its hosts run the clones of every environment on it."""
        recipe = self.clones.recipe
        return frozenset({f"{self._address}/{recipe.datacenter}/{recipe.cluster}"})

    def creates(self, spec: ClusterSpec) -> str:
        """Describe which VMs and pool are created, from which template and where."""
        recipe, shapes = self.clones.recipe, self.clones.shapes(spec)
        sizes = [f"driver of {_size(shapes[0])}"] if len(shapes) > spec.workers else []
        sizes.append(f"{plural(spec.workers, 'worker')} of {_size(shapes[-1])}")
        base = f"{recipe.clone} clones of {recipe.template!r}"
        if recipe.clone == "linked":
            base += f" ({'its current snapshot' if recipe.snapshot is None else recipe.snapshot})"
        where = f"{recipe.datacenter}/{recipe.cluster} of vCenter {self._address}"
        return (
            f"up to {plural(len(shapes), 'VM')} ({', '.join(sizes)}), {base}, in the "
            f"resource pool benchcast-<session>.<cluster> ({describe_limits(recipe)}) on {where},"
            " one cluster at a time"
        )

    def check(self, spec: ClusterSpec) -> Sequence[Finding]:
        """Report what vCenter, template, hosts and pool lack for these clones."""
        if spec.engine not in self.engines:
            return super().check(spec)
        surveyed = self._survey
        if isinstance(surveyed, Finding):
            return [surveyed]
        recipe, shapes = self.clones.recipe, self.clones.shapes(spec)
        fits = self.engines[spec.engine].fits(spec)
        return [*fits, *checks.check(surveyed, recipe, shapes)]

    @functools.cached_property
    def _survey(self) -> Survey | Finding:
        """The vCenter's survey, made once; or the reason why it cannot be used.

        A vCenter that does not answer blocks its own cells only, not the study.
        """
        try:
            try:
                return survey(self.clones.vcenter, self.clones.recipe)
            except LOST as error:
                raise self.clones.vcenter.unreachable(error) from None
            except module().vmodl.MethodFault as fault:
                refusal = self.clones.vcenter.refused(fault)
                raise UnsuitableEnvironment(refusal.what, remedy=refusal.remedy) from None
        except UserError as error:
            return Finding(severity="error", scope="study", what=error.what, remedy=error.remedy)
        except LaunchFailed as error:
            return Finding(severity="error", scope="cell", what=error.what, remedy=error.remedy)


def build(spec: EnvironmentSpec) -> Environment:
    """Return the environment of a study's vCenter; it connects when it is first asked."""
    need_asyncssh()
    if importlib.util.find_spec("pyVmomi") is None:
        raise MissingExtra("pyvmomi", "vsphere")
    settings = Settings.of(spec)
    _readable("ca", settings.ca)
    _readable("ssh.key", settings.ssh.key)
    provider = VsphereProvider(
        functools.partial(_connect, settings),
        _recipe(settings),
        _login(settings),
        system=parse_memory(settings.system_memory),
        driverless=frozenset(engine.name for engine in ENGINES.values() if not engine.has_driver),
    )
    return VsphereEnvironment(provider, settings.vcenter)


def _readable(what: str, path: str | None) -> None:
    """Reject an unreadable file before anything is cloned."""
    if path is None:
        return
    try:
        with Path(path).expanduser().open("rb"):
            return
    except (OSError, RuntimeError, ValueError) as error:  # no such user's home, a NUL
        why = getattr(error, "strerror", None) or str(error)
        raise UnsuitableEnvironment(
            f"{what} = {path!r} cannot be read: {why}",
            remedy="name another file, or make that one readable",
        ) from None


def _connect(settings: Settings) -> Vcenter:
    if settings.user is None or settings.password is None:
        raise UnsuitableEnvironment(
            f"vCenter {settings.vcenter}: user and password are missing",
            remedy='set user and password = { env = "NAME" }; records do not hold them',
        )
    return Vcenter(
        settings.vcenter,
        settings.user,
        read(settings.password, "password"),
        ca=None if settings.ca is None else Path(settings.ca).expanduser(),
    )


def _recipe(settings: Settings) -> Recipe:
    return Recipe(
        datacenter=settings.datacenter,
        cluster=settings.cluster,
        template=settings.template,
        snapshot=settings.snapshot,
        clone=settings.clone,
        folder=settings.folder,
        datastore=settings.datastore,
        hosts=settings.hosts,
        anti_affinity=settings.anti_affinity,
        customize=settings.customize,
        pool=_pool(settings.pool),
        clone_timeout=parse_duration(settings.clone_timeout),
        ip_timeout=parse_duration(settings.address_timeout),
    )


def _pool(given: PoolSettings) -> Pool:
    cpu, memory = given.cpu, given.memory
    most, least = memory.limit, memory.reservation
    return Pool(
        cpu=Allocation(limit=cpu.limit, reservation=cpu.reservation, shares=cpu.shares),
        memory=Allocation(
            limit=None if most is None else parse_memory(most) // MIB,
            reservation=0 if least is None else parse_memory(least) // MIB,
            shares=memory.shares,
        ),
    )


def _login(settings: Settings) -> Login:
    ssh = settings.ssh
    return Login(
        user=ssh.user,
        port=ssh.port,
        key=None if ssh.key is None else Path(ssh.key).expanduser(),
        passphrase=None if ssh.passphrase is None else read(ssh.passphrase, "ssh.passphrase"),
        python=ssh.python,
        known_hosts=None if ssh.known_hosts is None else known_hosts(ssh.known_hosts),
        alias=ssh.alias,
        folder=ssh.folder,
        at_once=settings.at_once,
        timeout=parse_duration(settings.address_timeout),
    )


def _size(shape: Shape) -> str:
    size = f"{plural(shape.cores, 'core')} and {format_memory(shape.memory)}"
    if (asked := gpus.wanted(shape)) is None:
        return size
    return f"{size} and {plural(asked[1], 'vGPU')} {asked[0]}"
