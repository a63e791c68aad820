"""A run's clones under watch: who was moved to another host while it worked, when and where."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.environments.vsphere import migrations
from bench.environments.vsphere.client import LOST, Vcenter, module
from bench.errors import BenchError
from bench.records.results import RunEvent

_log = logging.getLogger(__name__)


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
        self._moves: list[migrations.Move] = []

    def start(self, interval: float) -> None:
        """Note the vCenter's time; events come when they come, whatever the ``interval``."""
        self._moves = []
        try:
            self._since = migrations.clock(self._vcenter)
        except _failures() as error:
            self._since = None
            _log.warning("moves between hosts are not watched: %s", type(error).__name__)

    def stop(self, folder: Path) -> None:
        """Ask for the moves since then; nothing is written: they become events."""
        if self._since is None:
            return
        try:
            self._moves = migrations.moves(self._vcenter, self._vms, self._since)
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


def _failures() -> tuple[type[Exception], ...]:
    return (*LOST, BenchError, module().vmodl.MethodFault)
