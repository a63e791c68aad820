"""What a vCenter has to offer before anything is cloned, and the hypervisors of clones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bench.environments.vsphere import customization, templates
from bench.environments.vsphere.client import SINCE, Vcenter, module
from bench.environments.vsphere.properties import HostFacts, bulk, hosts, read
from bench.environments.vsphere.recipe import Recipe, describe_limits
from bench.environments.vsphere.resource_pools import MIB
from bench.errors import UnsuitableEnvironment


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What the recipe meets on this vCenter. ``hosts`` are those that may take clones.

    ``networks`` are the template's that the cluster has not; ``running``: the template is powered
    on; ``free_cpu`` (MHz) and ``free_memory`` (MiB) can still be reserved, None where it is not
    said; ``instant``: the vCenter's API has instant clones.
    """

    product: str
    hosts: tuple[HostFacts, ...]
    networks: tuple[str, ...]
    running: bool
    cores: int
    memory: int
    free_cpu: int | None
    free_memory: int | None
    instant: bool


def survey(vcenter: Vcenter, recipe: Recipe) -> Survey:
    """Look at all that the recipe names; UnsuitableEnvironment for what is not there."""
    root = recipe.datacenter
    cluster = vcenter.find(f"{root}/host/{recipe.cluster}", "cluster")
    if recipe.folder is not None:
        vcenter.find(f"{root}/vm/{recipe.folder}", "folder")
    if recipe.datastore is not None:
        vcenter.find(f"{root}/datastore/{recipe.datastore}", "datastore")
    template, _ = templates.find(vcenter, recipe)
    if recipe.customize is not None:
        customization.find(vcenter, recipe.customize)
    paths = ["network", "runtime.powerState", "config.hardware.numCPU", "config.hardware.memoryMB"]
    told = read(vcenter, [template], paths)[template._GetMoId()]
    cpu, memory = _free(vcenter, cluster)
    return Survey(
        product=vcenter.product,
        hosts=tuple(_hosts(vcenter, cluster, recipe)),
        networks=tuple(_missing(vcenter, cluster, told.get("network") or ())),
        running=told.get("runtime.powerState") == "poweredOn",
        cores=int(told["config.hardware.numCPU"]),
        memory=int(told["config.hardware.memoryMB"]) * MIB,
        free_cpu=cpu,
        free_memory=memory,
        instant=vcenter.api >= SINCE,
    )


def hypervisors(
    vcenter: Vcenter, recipe: Recipe, vms: Mapping[str, Any]
) -> dict[str, dict[str, str]]:
    """Return, by name, facts of each VM's hypervisor: product, host, overcommit, pool, clone.

    Overcommit is vCPUs of running VMs for each core of the host, rounded up: those that this
    user may see. What is not known is absent.
    """
    if not vms:
        return {}
    kind = module().vim.VirtualMachine
    paths = ["runtime.host", "runtime.powerState", "config.hardware.numCPU"]
    places: dict[str, str] = {}
    wanted: dict[str, int] = {}
    for vm, got in bulk(vcenter, kind, paths):
        host = got.get(paths[0])
        if host is None or got.get(paths[1]) != "poweredOn":
            continue
        places[vm._GetMoId()] = host._GetMoId()
        wanted[host._GetMoId()] = wanted.get(host._GetMoId(), 0) + int(got.get(paths[2], 0))
    known = {host.id: host for host in hosts(vcenter)}
    common = {"hypervisor": vcenter.product, "clone": recipe.clone, "pool": describe_limits(recipe)}
    found = {}
    for name, vm in vms.items():
        host = known.get(places.get(vm._GetMoId(), ""))
        found[name] = common | ({} if host is None else _host(host, wanted[host.id]))
    return found


def _host(host: HostFacts, vcpus: int) -> dict[str, str]:
    return {
        "host_model": host.model,
        "host_cpu": " ".join(host.cpu_model.split()),
        "vcpus_per_core": str(math.ceil(vcpus / host.cores)),
    }


def _hosts(vcenter: Vcenter, cluster: Any, recipe: Recipe) -> list[HostFacts]:
    """Return the connected hosts for clones; UnsuitableEnvironment for an unknown name."""
    found = {host.name: host for host in hosts(vcenter, under=cluster)}
    for name in recipe.hosts:
        if name not in found:
            raise UnsuitableEnvironment(
                f"vCenter {vcenter.address}: the cluster {recipe.cluster!r} has no host {name!r}",
                remedy=f"it has: {', '.join(sorted(found)[:10])}",
            )
    chosen = recipe.hosts or tuple(found)
    return [found[name] for name in chosen if found[name].connected]


def _missing(vcenter: Vcenter, cluster: Any, wanted: Sequence[Any]) -> list[str]:
    """Return the names of networks that the cluster has not: its hosts could not reach them."""
    there = read(vcenter, [cluster], ["network"])[cluster._GetMoId()].get("network") or ()
    ids = {one._GetMoId() for one in there}
    absent = [one for one in wanted if one._GetMoId() not in ids]
    return [str(one.name) for one in absent]


def _free(vcenter: Vcenter, cluster: Any) -> tuple[int | None, int | None]:
    """Return what the cluster's root pool can still reserve: MHz and MiB."""
    root = read(vcenter, [cluster], ["resourcePool"])[cluster._GetMoId()].get("resourcePool")
    if root is None:
        return None, None
    paths = ["runtime.cpu.unreservedForPool", "runtime.memory.unreservedForPool"]
    got = read(vcenter, [root], paths).get(root._GetMoId(), {})
    cpu, memory = (got.get(path) for path in paths)
    return (
        None if cpu is None else int(cpu),
        None if memory is None else int(memory) // MIB,
    )
