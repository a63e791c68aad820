"""The settings of an environment of SSH hosts."""

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
    """One machine; ``user``, ``port``, ``key`` and so on default to the environment's own.

    ``internal`` is the address at which the other hosts reach it, if another one. ``cores`` and
    ``memory`` are what the study expects; the host's own values are used. ``price`` has the form
    "0.42 EUR/h".
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
        """Reject an invalid memory or price."""
        if self.memory is not None:
            parse_memory(self.memory)
        if self.price is not None and _PRICE.fullmatch(self.price) is None:
            raise ValueError(f'price = "{self.price}" is not allowed; "0.42 EUR/h" is')


class Settings(KindSettings, frozen=True, kw_only=True):
    """``hosts`` are addresses or tables; the first that answer get the workers, one each.

    The driver runs on ``driver_host`` (one of the hosts, which then gets no worker), else beside
    worker 0. Without ``key``, login tries the SSH agent's keys and the user's default keys.
    Without ``python``, uv builds the engine's environment on the hosts, from Benchcast's lock.
    Spare hosts may replace up to ``spares`` failed ones; ``at_once`` hosts are prepared in
    parallel. ``folder`` is below the home folder on the host. A host that does not answer for
    ``unreachable_after`` counts as lost.
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
    unreachable_after: Annotated[str, setting()] = "30 s"

    def __post_init__(self) -> None:
        """Accept a plain address as a host entry; reject ``unreachable_after = 0``."""
        if parse_duration(self.unreachable_after) == 0:
            raise ValueError(
                f'unreachable_after = "{self.unreachable_after}" is not allowed; "30 s" is'
            )
        hosts = tuple(HostSpec(address=h) if isinstance(h, str) else h for h in self.hosts)
        msgspec.structs.force_setattr(self, "hosts", hosts)

    def table(self) -> Sequence[HostSpec]:
        """Return the hosts as tables, plain addresses included."""
        return [host for host in self.hosts if isinstance(host, HostSpec)]
