"""Workers that vCenter moves to another host while they work: from its events, when and where."""

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
PAGE = 1000  # events an answer; the largest that vCenter gives
_log = logging.getLogger(__name__)


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A VM's move: ``at`` in UTC by the vCenter's clock; hosts None where the event has none.

    Host names are for messages; a record takes ``text`` with them only where the study names them.
    """

    name: str
    kind: str
    at: datetime
    source: str | None
    target: str | None
    key: int

    def text(self, known: Iterable[str] = ()) -> str:
        """Say it in one line; hosts that are not ``known`` (the study's own) stay unnamed."""
        named = set(known)
        ends = [
            one if one in named else f"{word} host"
            for one, word in ((self.source, "one"), (self.target, "another"))
        ]
        return f"{self.name} moved from {ends[0]} to {ends[1]} ({self.kind})"


class MigrationWatcher:
    """Asks vCenter for the moves between ``start`` and ``stop``; it never fails a run.

    Each is an event ``migrated`` at the vCenter's time; hosts are named where the study names them.
    """

    def __init__(self, vcenter: Vcenter, vms: Mapping[str, Any], named: Iterable[str]) -> None:
        """``vms`` maps a scope (driver, worker-0, ...) to its VM."""
        self._vcenter = vcenter
        self._vms = dict(vms)
        self._named = tuple(named)
        self._since: datetime | None = None
        self._moves: list[Move] = []

    def start(self, interval: float) -> None:
        """Note the vCenter's time; events come when they come, whatever the ``interval``."""
        self._moves = []
        try:
            self._since = clock(self._vcenter)
        except _failures() as error:
            self._since = None
            _log.warning("moves between hosts are not watched: %s", type(error).__name__)

    def stop(self, folder: Path) -> None:
        """Ask for the moves since then; nothing is written: they become events of the run."""
        if self._since is None:
            return
        try:
            self._moves = moves(self._vcenter, self._vms, self._since)
        except _failures() as error:
            _log.warning("moves between hosts are not known: %s", type(error).__name__)

    def events(self) -> Sequence[RunEvent]:
        """Return one event a move, oldest first."""
        return [
            RunEvent(
                at=move.at,
                kind="migrated",
                text=move.text(self._named),
            )
            for move in self._moves
        ]


def clock(vcenter: Vcenter) -> datetime:
    """Return the vCenter's own time, in UTC: events are asked for by it, not by ours."""
    return _utc(vcenter.instance.CurrentTime())


def moves(vcenter: Vcenter, vms: Mapping[str, Any], since: datetime) -> list[Move]:
    """Return the moves of these VMs (name -> VM) since a time of the vCenter, oldest first.

    A VmRelocatedEvent that names one host twice moved disks only, and is left out; a migration
    that does so (written before the move, as govmomi's simulator does) has no ``target``. Calls:
    one for the collector and one for each ``PAGE`` events, however many VMs.
    """
    event = module().vim.event
    manager = vcenter.content.eventManager
    collector = manager.CreateCollectorForEvents(
        event.EventFilterSpec(
            time=event.EventFilterSpec.ByTime(beginTime=since), eventTypeId=list(KINDS)
        )
    )
    names = {vm._GetMoId(): name for name, vm in vms.items()}
    found: dict[int, Move | None] = {}
    try:
        while page := collector.ReadNextEvents(PAGE):
            fresh = [one for one in page if one.key not in found]
            found |= {one.key: _move(one, names) for one in fresh}
            if not fresh:
                break
    finally:
        collector.DestroyCollector()
    wanted = [m for m in found.values() if m is not None and m.name and m.at >= since]
    return sorted(wanted, key=lambda move: (move.at, move.key))


def _move(event: Any, names: Mapping[str, str]) -> Move | None:
    """Read one event; None where only disks moved."""
    kind = type(event).__name__.rpartition(".")[2]
    vm = getattr(event, "vm", None)
    source, target = getattr(event, "sourceHost", None), getattr(event, "host", None)
    same = source is not None and target is not None and source.name == target.name
    if same and kind == "VmRelocatedEvent":
        return None
    return Move(
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
