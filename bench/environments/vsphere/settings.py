"""The settings of an environment of clones on a vSphere cluster."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from bench.engines import ENGINES
from bench.environments.vsphere.client import host_and_port
from bench.environments.vsphere.resource_pools import Level
from bench.hosts import workspace
from bench.records.values import AtLeastOne, AtLeastZero
from bench.secrets import Secret
from bench.settings import KindSettings, setting
from bench.units import parse_duration, parse_memory

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Folder = Annotated[str, msgspec.Meta(pattern=r"^\.?\w[\w-]*(/\.?\w[\w-]*)*$")]


class Ssh(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to log in to the clones, and where their host keys come from.

    Without ``python``, uv builds the engine's environment on every clone, from Benchcast's lock.

    Without ``known_hosts``, Benchcast reads each clone's keys through vCenter: the template
    writes them into ``guestinfo.benchcast.hostkeys`` at its first boot. Otherwise it looks them
    up in that file, by ``alias`` if given: the template's own key, or an ``@cert-authority``.
    """

    user: Annotated[str | None, setting()] = None
    port: Annotated[Port, setting()] = 22
    key: Annotated[str | None, setting()] = None
    passphrase: Annotated[Secret | None, setting(secret=True)] = None
    python: Annotated[str | None, setting()] = None
    known_hosts: Annotated[str | None, setting()] = None
    alias: Annotated[str | None, setting()] = None
    folder: Annotated[Folder, setting()] = workspace.FOLDER

    def __post_init__(self) -> None:
        """Reject an alias without ``known_hosts``."""
        if self.alias is not None and self.known_hosts is None:
            raise ValueError("alias is a name in known_hosts: set known_hosts too")


class Cpu(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pool's CPU: ``limit`` and ``reservation`` in MHz."""

    limit: Annotated[AtLeastOne | None, setting(keyed=True)] = None
    reservation: Annotated[AtLeastZero, setting(keyed=True)] = 0
    shares: Annotated[Level | AtLeastOne, setting(keyed=True)] = "normal"


class Memory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pool's memory: ``limit`` and ``reservation`` such as "64 GiB"."""

    limit: Annotated[str | None, setting(keyed=True)] = None
    reservation: Annotated[str | None, setting(keyed=True)] = None
    shares: Annotated[Level | AtLeastOne, setting(keyed=True)] = "normal"

    def __post_init__(self) -> None:
        """Reject an invalid amount of memory."""
        for text in (self.limit, self.reservation):
            if text is not None:
                parse_memory(text)


class PoolSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of the resource pool of each cluster."""

    cpu: Annotated[Cpu, setting(keyed=True)] = Cpu()
    memory: Annotated[Memory, setting(keyed=True)] = Memory()


class Settings(KindSettings, frozen=True, kw_only=True):
    """Where to clone, from which template, and as which user.

    ``vcenter`` is host or host:port, ``ca`` its authority's certificate (PEM; default: the
    system's). ``template`` and ``folder`` are paths below the datacenter's VM folder; ``snapshot``
    is the template's, for linked clones (default: the current one). ``hosts`` get the clones in
    turn. A clone's memory is the worker's plus ``system_memory`` for the guest's system.
    ``customize`` names a guest customization specification of the vCenter.
    """

    engines = frozenset(ENGINES)
    gpus = True

    vcenter: Annotated[str, setting(keyed=True)]
    user: Annotated[str | None, setting()] = None
    password: Annotated[Secret | None, setting(secret=True)] = None
    ca: Annotated[str | None, setting()] = None
    datacenter: Annotated[str, setting(keyed=True)]
    cluster: Annotated[str, setting(keyed=True)]
    template: Annotated[str, setting(keyed=True)]
    snapshot: Annotated[str | None, setting(keyed=True)] = None
    clone: Annotated[Literal["linked", "full", "instant"], setting(keyed=True)] = "linked"
    folder: Annotated[str | None, setting(keyed=True)] = None
    datastore: Annotated[str | None, setting(keyed=True)] = None
    hosts: Annotated[tuple[str, ...], setting(keyed=True)] = ()
    anti_affinity: Annotated[bool, setting(keyed=True)] = False
    customize: Annotated[str | None, setting(keyed=True)] = None
    pool: Annotated[PoolSettings, setting(keyed=True)] = PoolSettings()
    system_memory: Annotated[str, setting(keyed=True)] = "1 GiB"
    clone_timeout: Annotated[str, setting(recorded=True)] = "30 min"
    address_timeout: Annotated[str, setting(recorded=True)] = "10 min"
    at_once: Annotated[int, msgspec.Meta(ge=1, le=64), setting(recorded=True)] = workspace.AT_ONCE
    ssh: Annotated[Ssh, setting()] = Ssh()

    def __post_init__(self) -> None:
        """Reject invalid values and combinations."""
        host_and_port(self.vcenter)
        parse_memory(self.system_memory)
        for text in (self.clone_timeout, self.address_timeout):
            if parse_duration(text) == 0:
                raise ValueError(f'"{text}" is not allowed; a duration above 0 is')
        if self.snapshot is not None and self.clone != "linked":
            raise ValueError(f"snapshot is for linked clones, not clone = '{self.clone}'")
        if self.customize is not None and self.clone == "instant":
            raise ValueError("customize is for clones that boot, not clone = 'instant'")
