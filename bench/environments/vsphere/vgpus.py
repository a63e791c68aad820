"""vGPUs of clones: the devices of a worker's profile, and the hosts that offer it."""

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
    """Return a shape's vGPU profile and count, or None."""
    if shape.gpus is UNSET or shape.gpu is UNSET:
        return None
    return shape.gpu, shape.gpus


def added(shape: Shape, present: int = 0) -> dict[str, Any]:
    """Return a VM's configuration for GPUs; it already has ``present`` of them.

    vSphere starts a VM with vGPUs only if all of its memory is reserved.
    """
    profile_and_count = wanted(shape)
    if profile_and_count is None:
        return {}
    vim = module().vim
    profile, count = profile_and_count
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
    """Return the VMs' vGPU counts by profile, by VM id."""
    properties = read(vcenter, vms, [DEVICES])
    return {
        vm_id: Counter(
            str(device.backing.vgpu)
            for device in values.get(DEVICES) or ()
            if hasattr(getattr(device, "backing", None), "vgpu")
        )
        for vm_id, values in properties.items()
    }


def offering(vcenter: Vcenter, hosts: Sequence[Any], profile: str) -> list[Any]:
    """Return the hosts that offer a profile, in order."""
    properties = read(vcenter, hosts, [OFFERED])
    return [host for host in hosts if profile in (properties[host._GetMoId()].get(OFFERED) or ())]
