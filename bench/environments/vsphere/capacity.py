"""The capacity of a vCenter's cluster before cloning, and facts of clones' hypervisors."""

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
    """The vCenter's capacity for a recipe. ``hosts`` may run clones.

    ``networks`` are the template's networks that the cluster lacks; ``running``: the template is
    powered on; ``free_cpu`` (MHz) and ``free_memory`` (MiB) can still be reserved, None if
    unknown; ``instant``: the vCenter's API has instant clones.
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
    """Look up everything that the recipe names; UnsuitableEnvironment if something is missing."""
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
    properties = read(vcenter, [template], paths)[template._GetMoId()]
    cpu, memory = _free(vcenter, cluster)
    return Survey(
        product=vcenter.product,
        hosts=tuple(_hosts(vcenter, cluster, recipe)),
        networks=tuple(_missing(vcenter, cluster, properties.get("network") or ())),
        running=properties.get("runtime.powerState") == "poweredOn",
        cores=int(properties["config.hardware.numCPU"]),
        memory=int(properties["config.hardware.memoryMB"]) * MIB,
        free_cpu=cpu,
        free_memory=memory,
        instant=vcenter.api >= SINCE,
    )


def hypervisors(
    vcenter: Vcenter, recipe: Recipe, vms: Mapping[str, Any]
) -> dict[str, dict[str, str]]:
    """Return, by name, facts of each VM's hypervisor: product, host, overcommit, pool, clone.

    Overcommit is the vCPUs of running VMs (that this user may see) for each core of the host,
    rounded up. Unknown facts are absent.
    """
    if not vms:
        return {}
    kind = module().vim.VirtualMachine
    paths = ["runtime.host", "runtime.powerState", "config.hardware.numCPU"]
    places: dict[str, str] = {}
    wanted: dict[str, int] = {}
    for vm, values in bulk(vcenter, kind, paths):
        host = values.get(paths[0])
        if host is None or values.get(paths[1]) != "poweredOn":
            continue
        places[vm._GetMoId()] = host._GetMoId()
        wanted[host._GetMoId()] = wanted.get(host._GetMoId(), 0) + int(values.get(paths[2], 0))
    by_id = {host.id: host for host in hosts(vcenter)}
    common = {"hypervisor": vcenter.product, "clone": recipe.clone, "pool": describe_limits(recipe)}
    facts = {}
    for name, vm in vms.items():
        host = by_id.get(places.get(vm._GetMoId(), ""))
        facts[name] = common | ({} if host is None else _host(host, wanted[host.id]))
    return facts


def _host(host: HostFacts, vcpus: int) -> dict[str, str]:
    return {
        "host_model": host.model,
        "host_cpu": " ".join(host.cpu_model.split()),
        "vcpus_per_core": str(math.ceil(vcpus / host.cores)),
    }


def _hosts(vcenter: Vcenter, cluster: Any, recipe: Recipe) -> list[HostFacts]:
    """Return the connected hosts for clones; UnsuitableEnvironment for an unknown name."""
    by_name = {host.name: host for host in hosts(vcenter, root=cluster)}
    for name in recipe.hosts:
        if name not in by_name:
            raise UnsuitableEnvironment(
                f"vCenter {vcenter.address}: the cluster {recipe.cluster!r} has no host {name!r}",
                remedy=f"it has: {', '.join(sorted(by_name)[:10])}",
            )
    chosen = recipe.hosts or tuple(by_name)
    return [by_name[name] for name in chosen if by_name[name].connected]


def _missing(vcenter: Vcenter, cluster: Any, wanted: Sequence[Any]) -> list[str]:
    """Return the names of networks that the cluster lacks, so that clones could not use them."""
    present = read(vcenter, [cluster], ["network"])[cluster._GetMoId()].get("network") or ()
    ids = {network._GetMoId() for network in present}
    absent = [network for network in wanted if network._GetMoId() not in ids]
    return [str(network.name) for network in absent]


def _free(vcenter: Vcenter, cluster: Any) -> tuple[int | None, int | None]:
    """Return the MHz and MiB that the cluster's root pool can still reserve."""
    root = read(vcenter, [cluster], ["resourcePool"])[cluster._GetMoId()].get("resourcePool")
    if root is None:
        return None, None
    paths = ["runtime.cpu.unreservedForPool", "runtime.memory.unreservedForPool"]
    values = read(vcenter, [root], paths).get(root._GetMoId(), {})
    cpu, memory = (values.get(path) for path in paths)
    return (
        None if cpu is None else int(cpu),
        None if memory is None else int(memory) // MIB,
    )
