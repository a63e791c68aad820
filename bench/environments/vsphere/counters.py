"""vCenter's counters of VMs and their hosts: they show neighbours that a guest cannot see."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from bench.environments.vsphere.client import LOST, Vcenter, module
from bench.environments.vsphere.properties import read
from bench.errors import BenchError

INTERVAL = 20  # seconds: vSphere's real-time statistics
# vSphere's names -> (column, factor to the column's unit). Usage comes in hundredths of a percent,
# times in milliseconds of each interval, sizes in KiB (vSphere API reference, PerformanceManager).
COUNTERS = {
    "cpu.usage.average": ("cpu_usage", 1e-4),  # share of what it has
    "cpu.ready.summation": ("cpu_ready", 1e-3 / INTERVAL),  # s/s over all vCPUs: waited for a core
    "cpu.costop.summation": ("cpu_costop", 1e-3 / INTERVAL),  # s/s: waited for its other vCPUs
    "mem.usage.average": ("memory_usage", 1e-4),
    "mem.consumed.average": ("memory_consumed", 1024.0),  # bytes
    "mem.vmmemctl.average": ("memory_balloon", 1024.0),
    "mem.swapped.average": ("memory_swapped", 1024.0),  # of VMs
    "mem.swapused.average": ("memory_swapped", 1024.0),  # of hosts
}
COLUMNS = tuple(dict.fromkeys(column for column, _ in COUNTERS.values()))
_log = logging.getLogger(__name__)

Row = dict[str, object]


class VcenterCounters:
    """The counters of a run's VMs and their hosts, as ``vcenter.parquet``.

    Nothing runs between ``start`` and ``stop``: vCenter keeps its real-time statistics for an
    hour. It never fails a run: problems are logged, and the file is missing.
    """

    def __init__(self, vcenter: Vcenter, vms: Mapping[str, Any]) -> None:
        """``vms`` maps a scope (driver, worker-0, ...) to its VM."""
        self._vcenter = vcenter
        self._vms = dict(vms)
        self._hosts: dict[str, Any] = {}
        self._since: datetime | None = None

    def start(self, interval: float) -> None:
        """Remember the vCenter's time and the hosts; the rate is vCenter's ``INTERVAL``."""
        try:
            self._since = self._vcenter.instance.CurrentTime()
            self._hosts = {}
            self._note_hosts()
        except _failures() as error:
            self._since = None
            _log.warning("no counters of vCenter: %s", type(error).__name__)

    def stop(self, folder: Path) -> None:
        """Query the samples since ``start`` and write them into ``folder``."""
        if self._since is None:
            return
        try:
            self._note_hosts()
            write(list(self._rows(self._since)), folder / "vcenter.parquet")
        except _failures(ValueError, ImportError) as error:  # pyarrow's are ValueErrors
            _log.warning("no counters of vCenter: %s", type(error).__name__)

    def _note_hosts(self) -> None:
        """Give the hosts numbers as they appear: records hold no host names."""
        vms = list(self._vms.values())
        properties = read(self._vcenter, vms, ["runtime.host"])
        for vm in vms:
            host = properties.get(vm._GetMoId(), {}).get("runtime.host")
            if host is not None and host not in self._hosts.values():
                self._hosts[f"host-{len(self._hosts)}"] = host

    def _rows(self, since: datetime) -> Iterator[Row]:
        perf = module().vim.PerformanceManager
        manager = self._vcenter.content.perfManager
        names_ = {managed.key: _name(managed) for managed in manager.perfCounter}
        ids = [
            perf.MetricId(counterId=key, instance="")
            for key, name in names_.items()
            if name in COUNTERS
        ]
        scopes = {**self._vms, **self._hosts}
        answer = manager.QueryPerf(
            [
                perf.QuerySpec(
                    entity=managed,
                    metricId=ids,
                    intervalId=INTERVAL,
                    startTime=since,
                    format="normal",
                )
                for managed in scopes.values()
            ]
        )
        names = {managed._GetMoId(): scope for scope, managed in scopes.items()}
        for entity in answer:
            yield from _entity_rows(entity, names[entity.entity._GetMoId()], names_)


def write(rows: list[Row], target: Path) -> None:
    """Write rows of ``wall_ns``, ``scope`` and COLUMNS (double, null if unknown).

    ValueError if there are none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not rows:
        raise ValueError("vCenter has no samples for this time")
    fields = [("wall_ns", pa.int64()), ("scope", pa.string())]
    fields += [(name, pa.float64()) for name in COLUMNS]
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(fields)), target)


def _entity_rows(entity: Any, scope: str, names: Mapping[int, str]) -> list[Row]:
    """Return one entity's rows, oldest first (servers differ in their order)."""
    rows: list[Row] = [
        {"wall_ns": int(info.timestamp.timestamp() * 1e9), "scope": scope}
        for info in entity.sampleInfo
    ]
    for series in entity.value:
        if len(series.value) != len(rows):  # not recorded for this entity, or its times are unknown
            continue
        column, factor = COUNTERS[names[series.id.counterId]]
        for row, value in zip(rows, series.value, strict=True):
            if value >= 0:  # -1 is vSphere's "unknown"
                row[column] = value * factor
    return sorted(rows, key=lambda row: cast("int", row["wall_ns"]))


def _name(counter: Any) -> str:
    return f"{counter.groupInfo.key}.{counter.nameInfo.key}.{counter.rollupType}"


def _failures(*more: type[Exception]) -> tuple[type[Exception], ...]:
    return (*LOST, BenchError, module().vmodl.MethodFault, *more)
