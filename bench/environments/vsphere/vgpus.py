"""vGPUs of clones: a device for each, of the profile that the worker names, and where one goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET

from bench.environments.vsphere.client import Vcenter, module
from bench.environments.vsphere.properties import read
from bench.records.study import Shape

OFFERED = "config.sharedPassthruGpuTypes"
DEVICES = "config.hardware.device"


def wanted(shape: Shape) -> tuple[str, int] | None:
    """Return the profile and how many of it a shape has; None without."""
    if shape.gpus is UNSET or shape.gpu is UNSET:
        return None
    return shape.gpu, shape.gpus


def added(shape: Shape, present: int = 0) -> dict[str, Any]:
    """Return what a VM's configuration has for GPUs; ``present`` of them are there already.

    vSphere starts such a VM only with all of its memory reserved.
    """
    asked = wanted(shape)
    if asked is None:
        return {}
    vim = module().vim
    profile, count = asked
    passthrough = vim.vm.device.VirtualPCIPassthrough
    devices = [
        vim.vm.device.VirtualDeviceSpec(
            operation="add",
            device=passthrough(key=-1 - n, backing=passthrough.VmiopBackingInfo(vgpu=profile)),
        )
        for n in range(count - present)
    ]
    return {"deviceChange": devices, "memoryReservationLockedToMax": True}


def present(vcenter: Vcenter, vms: Sequence[Any]) -> dict[str, Counter[str]]:
    """Return, by a VM's id, how many vGPUs of which profile it has."""
    got = read(vcenter, vms, [DEVICES])
    return {
        one: Counter(
            str(device.backing.vgpu)
            for device in told.get(DEVICES) or ()
            if hasattr(getattr(device, "backing", None), "vgpu")
        )
        for one, told in got.items()
    }


def offering(vcenter: Vcenter, hosts: Sequence[Any], profile: str) -> list[Any]:
    """Return those of the hosts that offer a profile, in their order."""
    got = read(vcenter, hosts, [OFFERED])
    return [one for one in hosts if profile in (got[one._GetMoId()].get(OFFERED) or ())]
