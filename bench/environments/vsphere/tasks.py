"""Waits for tasks and addresses, with one PropertyCollector each, in bounded slices."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from bench.environments.vsphere.client import LOST, Vcenter, module
from bench.errors import LaunchFailed

SLICE = 10  # seconds that one WaitForUpdatesEx may take

STATE, RESULT, ERROR, BEGAN, ENDED = (
    f"info.{name}" for name in ("state", "result", "error", "startTime", "completeTime")
)

Changes = Mapping[str, Mapping[str, Any]]  # object's id -> property -> value, so far


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """How a task ended: its ``result``, or ``fault`` (the fault's name) and ``message``.

    ``seconds`` is by the vCenter's clock, None if unknown.
    """

    result: Any = None
    fault: str | None = None
    message: str = ""
    seconds: float | None = None


def tasks(vcenter: Vcenter, wanted: Mapping[str, Any], timeout: float) -> dict[str, Done]:
    """Wait for tasks (label -> task); return how each ended.

    LaunchFailed names the labels that are not done after ``timeout`` seconds; OSError or
    HTTPException if the vCenter is lost.
    """
    if not wanted:
        return {}
    ids = {task._GetMoId(): label for label, task in wanted.items()}

    def done(seen: Changes) -> set[str]:
        return {task_id for task_id, p in seen.items() if p.get(STATE) in ("success", "error")}

    seen = _until(
        vcenter, list(wanted.values()), (STATE, RESULT, ERROR, BEGAN, ENDED), done, timeout
    )
    late = sorted(ids[task_id] for task_id in ids.keys() - done(seen))
    if late:
        raise LaunchFailed(f"vCenter {vcenter.address}: not done in {timeout:g} s: {_some(late)}")
    return {label: _done(seen[task_id]) for task_id, label in ids.items()}


def addresses(vcenter: Vcenter, vms: Mapping[str, Any], timeout: float) -> dict[str, str]:
    """Wait until every VM (name -> VM) has an address; LaunchFailed names those without."""
    if not vms:
        return {}
    ids = {vm._GetMoId(): name for name, vm in vms.items()}

    def done(seen: Changes) -> set[str]:
        return {vm_id for vm_id, properties in seen.items() if properties.get("guest.ipAddress")}

    seen = _until(vcenter, list(vms.values()), ("guest.ipAddress",), done, timeout)
    late = sorted(ids[vm_id] for vm_id in ids.keys() - done(seen))
    if late:
        raise LaunchFailed(
            f"vCenter {vcenter.address}: no address after {timeout:g} s: {_some(late)}",
            remedy="check VMware Tools and DHCP in the template, or raise address_timeout",
        )
    return {name: str(seen[vm_id]["guest.ipAddress"]) for vm_id, name in ids.items()}


def _done(properties: Mapping[str, Any]) -> Done:
    began, ended = properties.get(BEGAN), properties.get(ENDED)
    seconds = None if began is None or ended is None else (ended - began).total_seconds()
    if properties[STATE] == "success":
        return Done(result=properties.get(RESULT), seconds=seconds)
    error = properties.get(ERROR)
    fault = type(error).__name__.rpartition(".")[2]
    return Done(fault=fault, message=str(getattr(error, "msg", None) or ""), seconds=seconds)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _until(
    vcenter: Vcenter,
    objects: Sequence[Any],
    paths: Sequence[str],
    done: Callable[[Changes], set[str]],
    timeout: float,
) -> dict[str, dict[str, Any]]:
    """Follow the objects until all are done or time is up; return their properties."""
    gone = module().vmodl.fault.ManagedObjectNotFound
    seen: dict[str, dict[str, Any]] = {managed._GetMoId(): {} for managed in objects}
    ends = time.monotonic() + timeout
    while len(done(seen)) < len(seen) and time.monotonic() < ends:
        session = vcenter.sessions
        try:
            with _collector(vcenter, objects, paths) as collector:
                version = ""
                while len(done(seen)) < len(seen) and (left := ends - time.monotonic()) > 0:
                    version = _step(collector, version, min(SLICE, math.ceil(left)), seen)
        except gone:
            if vcenter.sessions == session:  # else the collector ended with its session
                raise
    return seen


def _step(collector: Any, version: str, seconds: int, seen: dict[str, dict[str, Any]]) -> str:
    """Add one slice's changes to ``seen``; return the version to continue from."""
    limit = module().vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=seconds)
    update = collector.WaitForUpdatesEx(version, limit)
    if update is None:  # nothing yet
        return version
    for group in update.filterSet or ():
        for changed in group.objectSet or ():
            for change in changed.changeSet or ():
                seen[changed.obj._GetMoId()][change.name] = change.val
    return str(update.version)  # a truncated answer continues from its version


@contextlib.contextmanager
def _collector(vcenter: Vcenter, objects: Sequence[Any], paths: Sequence[str]) -> Iterator[Any]:
    query = module().vmodl.query.PropertyCollector
    collector = vcenter.content.propertyCollector.CreatePropertyCollector()
    try:
        kind = type(objects[0])
        collector.CreateFilter(
            query.FilterSpec(
                objectSet=[query.ObjectSpec(obj=managed) for managed in objects],
                propSet=[query.PropertySpec(type=kind, pathSet=list(paths))],
                reportMissingObjectsInResults=False,
            ),
            True,
        )
        yield collector
    finally:
        with contextlib.suppress(*LOST, module().vmodl.fault.ManagedObjectNotFound):
            collector.DestroyPropertyCollector()
