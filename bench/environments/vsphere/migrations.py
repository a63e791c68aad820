"""Migrations of worker VMs to another host during a run, from vCenter's events."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from bench.environments.vsphere.client import LOST, Vcenter, module
from bench.errors import BenchError
from bench.records.results import RunEvent

KINDS = ("VmMigratedEvent", "VmRelocatedEvent", "DrsVmMigratedEvent")
PAGE = 1000  # events in an answer; vCenter's limit
_log = logging.getLogger(__name__)


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """A VM's migration: ``at`` in UTC by the vCenter's clock; a host is None if not reported.

    A record holds ``text``, which names only hosts that the study names.
    """

    name: str
    kind: str
    at: datetime
    source: str | None
    target: str | None
    key: int

    def text(self, named: Iterable[str] = ()) -> str:
        """Return it as one line that names only the hosts in ``named`` (the study's)."""
        allowed = set(named)
        ends = [
            host if host in allowed else f"{word} host"
            for host, word in ((self.source, "one"), (self.target, "another"))
        ]
        return f"{self.name} moved from {ends[0]} to {ends[1]} ({self.kind})"


class MigrationWatcher:
    """Asks vCenter for the migrations between ``start`` and ``stop``; it never fails a run.

    Each is an event ``migrated`` at the vCenter's time; it names only hosts that the study names.
    """

    def __init__(self, vcenter: Vcenter, vms: Mapping[str, Any], named: Iterable[str]) -> None:
        """``vms`` maps a scope (driver, worker-0, ...) to its VM."""
        self._vcenter = vcenter
        self._vms = dict(vms)
        self._named = tuple(named)
        self._since: datetime | None = None
        self._migrations: list[Migration] = []

    def start(self, interval: float) -> None:
        """Remember the vCenter's time; ``interval`` does not matter."""
        self._migrations = []
        try:
            self._since = clock(self._vcenter)
        except _failures() as error:
            self._since = None
            _log.warning("migrations are not watched: %s", type(error).__name__)

    def stop(self, folder: Path) -> None:
        """Query the migrations since ``start``; they become events of the run, not a file."""
        if self._since is None:
            return
        try:
            self._migrations = migrations(self._vcenter, self._vms, self._since)
        except _failures() as error:
            _log.warning("migrations are unknown: %s", type(error).__name__)

    def events(self) -> Sequence[RunEvent]:
        """Return an event for each migration, oldest first."""
        return [
            RunEvent(
                at=migration.at,
                kind="migrated",
                text=migration.text(self._named),
            )
            for migration in self._migrations
        ]


def clock(vcenter: Vcenter) -> datetime:
    """Return the vCenter's own time in UTC, by which it selects events."""
    return _utc(vcenter.instance.CurrentTime())


def migrations(vcenter: Vcenter, vms: Mapping[str, Any], since: datetime) -> list[Migration]:
    """Return the migrations of these VMs (name -> VM) since a vCenter's time, oldest first.

    A VmRelocatedEvent with the same host twice moved disks only and is left out; another event
    with the same host twice (govmomi's simulator writes it before the migration) has no
    ``target``. Calls: one for the collector and one for each ``PAGE`` events, for any number of
    VMs.
    """
    event_api = module().vim.event
    manager = vcenter.content.eventManager
    collector = manager.CreateCollectorForEvents(
        event_api.EventFilterSpec(
            time=event_api.EventFilterSpec.ByTime(beginTime=since), eventTypeId=list(KINDS)
        )
    )
    names = {vm._GetMoId(): name for name, vm in vms.items()}
    by_key: dict[int, Migration | None] = {}
    try:
        while page := collector.ReadNextEvents(PAGE):
            fresh = [event for event in page if event.key not in by_key]
            by_key |= {event.key: _migration(event, names) for event in fresh}
            if not fresh:
                break
    finally:
        collector.DestroyCollector()
    wanted = [
        migration
        for migration in by_key.values()
        if migration is not None and migration.name and migration.at >= since
    ]
    return sorted(wanted, key=lambda move: (move.at, move.key))


def _migration(event: Any, names: Mapping[str, str]) -> Migration | None:
    """Return an event's migration; None if only disks moved."""
    kind = type(event).__name__.rpartition(".")[2]
    vm = getattr(event, "vm", None)
    source, target = getattr(event, "sourceHost", None), getattr(event, "host", None)
    same = source is not None and target is not None and source.name == target.name
    if same and kind == "VmRelocatedEvent":
        return None
    return Migration(
        name=names.get(vm.vm._GetMoId(), "") if vm is not None else "",
        kind=kind,
        at=_utc(event.createdTime),
        source=None if source is None else str(source.name),
        target=None if target is None or same else str(target.name),
        key=event.key,
    )


def _utc(time: datetime) -> datetime:
    return time.astimezone(UTC)


def _failures() -> tuple[type[Exception], ...]:
    return (*LOST, BenchError, module().vmodl.MethodFault)
