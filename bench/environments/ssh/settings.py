"""What a study says of machines that are reached by SSH."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

import msgspec

from bench.engines import ENGINES
from bench.hosts import workspace
from bench.records.values import AtLeastOne, AtLeastZero
from bench.secrets import Secret
from bench.settings import KindSettings, setting
from bench.units import parse_duration, parse_memory

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
_PRICE = re.compile(r"\d+(\.\d+)? [A-Z]{3}/h")


class HostSpec(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One machine; what is not said is the environment's own ``user``, ``port``, ``key`` ...

    ``internal`` is the address by which the hosts find each other, where that is another one.
    ``cores`` and ``memory`` are what it is taken to have; the machine is asked. ``price`` is such
    as "0.42 EUR/h".
    """

    address: Annotated[str, setting(keyed=True)]
    port: Annotated[Port | None, setting()] = None
    user: Annotated[str | None, setting()] = None
    key: Annotated[str | None, setting()] = None
    python: Annotated[str | None, setting()] = None
    internal: Annotated[str | None, setting(keyed=True)] = None
    cores: Annotated[AtLeastOne | None, setting(recorded=True)] = None
    memory: Annotated[str | None, setting(recorded=True)] = None
    price: Annotated[str | None, setting(recorded=True)] = None

    def __post_init__(self) -> None:
        """Refuse a memory or a price that cannot be read."""
        if self.memory is not None:
            parse_memory(self.memory)
        if self.price is not None and _PRICE.fullmatch(self.price) is None:
            raise ValueError(f'price = "{self.price}" is not allowed; "0.42 EUR/h" is')


class Settings(KindSettings, frozen=True, kw_only=True):
    """``hosts`` are addresses or tables; the first that answer carry the workers, one each.

    The driver runs on ``driver_host`` (of the hosts; it then carries no worker), else beside
    worker 0. Without ``key`` the keys of the SSH agent and the user's default keys are tried.
    Without ``python`` uv builds the engine's environment there, from Benchcast's lock.
    ``spares`` hosts may fail and be replaced; ``at_once`` hosts are prepared in parallel.
    ``folder`` is below the home folder over there. A host that is silent for ``patience`` is lost.
    """

    engines = frozenset(ENGINES)

    hosts: Annotated[tuple[str | HostSpec, ...], msgspec.Meta(min_length=1), setting(keyed=True)]
    driver_host: Annotated[str | None, setting(keyed=True)] = None
    user: Annotated[str | None, setting()] = None
    port: Annotated[Port, setting()] = 22
    key: Annotated[str | None, setting()] = None
    passphrase: Annotated[Secret | None, setting(secret=True)] = None
    known_hosts: Annotated[str, setting()] = "~/.ssh/known_hosts"
    python: Annotated[str | None, setting()] = None
    spares: Annotated[AtLeastZero, setting()] = 1
    at_once: Annotated[int, msgspec.Meta(ge=1, le=64), setting()] = workspace.AT_ONCE
    folder: Annotated[str, msgspec.Meta(pattern=r"^\.?\w[\w-]*(/\.?\w[\w-]*)*$"), setting()] = (
        workspace.FOLDER
    )
    patience: Annotated[str, setting()] = "30 s"

    def __post_init__(self) -> None:
        """Let a bare address be a host of which nothing else is said; refuse no patience."""
        if parse_duration(self.patience) == 0:
            raise ValueError(f'patience = "{self.patience}" is not allowed; "30 s" is')
        hosts = tuple(HostSpec(address=h) if isinstance(h, str) else h for h in self.hosts)
        msgspec.structs.force_setattr(self, "hosts", hosts)

    def table(self) -> Sequence[HostSpec]:
        """Return the hosts, all as tables."""
        return [host for host in self.hosts if isinstance(host, HostSpec)]
