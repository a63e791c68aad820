"""Guests that are customized at their first boot, by a specification that the vCenter keeps."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bench.environments.vsphere.client import Vcenter, module
from bench.errors import LaunchFailed, UnsuitableEnvironment

PAUSE = 0.5  # seconds between looks for the event that ends a customization
_DONE = "CustomizationSucceeded"
_FAILED = (
    "CustomizationFailed",
    "CustomizationUnknownFailure",
    "CustomizationNetworkSetupFailed",
    "CustomizationLinuxIdentityFailed",
    "CustomizationSysprepFailed",
)


def find(vcenter: Vcenter, name: str) -> Any:
    """Return the specification of that name; UnsuitableEnvironment where the vCenter has none."""
    manager = vcenter.content.customizationSpecManager
    try:
        return manager.GetCustomizationSpec(name).spec
    except module().vim.fault.NotFound:
        known = ", ".join(sorted(one.name for one in manager.info or ())[:10])
        raise UnsuitableEnvironment(
            f"vCenter {vcenter.address}: there is no customization specification {name!r}",
            remedy=f"it has: {known}" if known else "make one there, or drop customize",
        ) from None


def wait(vcenter: Vcenter, vms: Mapping[str, Any], since: datetime, timeout: float) -> None:
    """Wait until the guests (name -> VM) are customized: the address of before is not to be used.

    ``since`` is a time of the vCenter. LaunchFailed names the first that failed or is late.
    """
    ends = time.monotonic() + timeout
    names = {vm._GetMoId(): name for name, vm in vms.items()}
    while waiting := names.keys() - _customized(vcenter, names, since):
        if time.monotonic() >= ends:
            raise LaunchFailed(
                f"{min(names[one] for one in waiting)} is not customized in {timeout:g} s",
                remedy="look whether the template has VMware Tools and perl or cloud-init",
            )
        time.sleep(PAUSE)


def _customized(vcenter: Vcenter, names: Mapping[str, str], since: datetime) -> set[str]:
    event = module().vim.event
    by_time = event.EventFilterSpec.ByTime(beginTime=since)
    kinds = [_DONE, *_FAILED]
    asked = event.EventFilterSpec(time=by_time, eventTypeId=kinds)
    found = set()
    for one in vcenter.content.eventManager.QueryEvents(asked) or ():
        vm = "" if one.vm is None else one.vm.vm._GetMoId()
        kind = type(one).__name__.rpartition(".")[2]
        if vm in names and kind != _DONE:
            reason = str(getattr(one, "reason", None) or one.fullFormattedMessage or kind)
            raise LaunchFailed(
                f"{names[vm]} is not customized: {kind}: {reason}",
                remedy="look at the specification's network adapters and at the guest's log",
            )
        found.add(vm)
    return found
