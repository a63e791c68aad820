"""Guest customization at the first boot, by a specification stored on the vCenter."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bench.environments.vsphere.client import Vcenter, module
from bench.errors import LaunchFailed, UnsuitableEnvironment

PAUSE = 0.5  # seconds between two looks for the events of a customization
_DONE = "CustomizationSucceeded"
_FAILED = (
    "CustomizationFailed",
    "CustomizationUnknownFailure",
    "CustomizationNetworkSetupFailed",
    "CustomizationLinuxIdentityFailed",
    "CustomizationSysprepFailed",
)


def find(vcenter: Vcenter, name: str) -> Any:
    """Return a specification by name; UnsuitableEnvironment if the vCenter has none."""
    manager = vcenter.content.customizationSpecManager
    try:
        return manager.GetCustomizationSpec(name).spec
    except module().vim.fault.NotFound:
        names = ", ".join(sorted(info.name for info in manager.info or ())[:10])
        raise UnsuitableEnvironment(
            f"vCenter {vcenter.address}: there is no customization specification {name!r}",
            remedy=f"it has: {names}" if names else "make one there, or drop customize",
        ) from None


def wait(vcenter: Vcenter, vms: Mapping[str, Any], since: datetime, timeout: float) -> None:
    """Wait until the guests (name -> VM) are customized; only then are their addresses valid.

    ``since`` is a time of the vCenter. LaunchFailed names the first guest that failed or is late.
    """
    ends = time.monotonic() + timeout
    names = {vm._GetMoId(): name for name, vm in vms.items()}
    while waiting := names.keys() - _customized(vcenter, names, since):
        if time.monotonic() >= ends:
            raise LaunchFailed(
                f"{min(names[vm_id] for vm_id in waiting)} was not customized in {timeout:g} s",
                remedy="check that the template has VMware Tools and perl or cloud-init",
            )
        time.sleep(PAUSE)


def _customized(vcenter: Vcenter, names: Mapping[str, str], since: datetime) -> set[str]:
    event_api = module().vim.event
    by_time = event_api.EventFilterSpec.ByTime(beginTime=since)
    kinds = [_DONE, *_FAILED]
    query = event_api.EventFilterSpec(time=by_time, eventTypeId=kinds)
    customized = set()
    for event in vcenter.content.eventManager.QueryEvents(query) or ():
        vm = "" if event.vm is None else event.vm.vm._GetMoId()
        kind = type(event).__name__.rpartition(".")[2]
        if vm in names and kind != _DONE:
            reason = str(getattr(event, "reason", None) or event.fullFormattedMessage or kind)
            raise LaunchFailed(
                f"{names[vm]} is not customized: {kind}: {reason}",
                remedy="look at the specification's network adapters and at the guest's log",
            )
        customized.add(vm)
    return customized
