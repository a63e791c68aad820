"""Clones on different hosts: a tagged DRS rule, and the check that it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.environments.vsphere import ownership, tasks
from bench.environments.vsphere.client import Vcenter, module
from bench.environments.vsphere.properties import bulk, read
from bench.errors import LaunchFailed
from bench.records.cluster import Owner

TIMEOUT = 120.0  # seconds for a change of a cluster's configuration
_RULES = "configurationEx"


def hosts(vcenter: Vcenter, cluster: Any) -> list[Any]:
    """Return the cluster's connected hosts, in the order of their names."""
    paths = ["name", "summary.runtime.connectionState", "summary.runtime.inMaintenanceMode"]
    rows = bulk(vcenter, module().vim.HostSystem, paths, root=cluster)
    good = [
        (values["name"], host)
        for host, values in rows
        if values.get(paths[1]) == "connected" and not values.get(paths[2])
    ]
    return [host for _, host in sorted(good, key=lambda pair: str(pair[0]))]


def keep_apart(vcenter: Vcenter, cluster: Any, owner: Owner, vms: Mapping[str, Any]) -> None:
    """Set a DRS rule with the owner's tag that keeps these VMs on different hosts."""
    if len(vms) < 2:  # vCenter rejects a rule about a single VM
        return
    vim = module().vim
    rule = vim.ClusterAntiAffinityRuleSpec(
        name=ownership.pool_name(owner), enabled=True, mandatory=True, vm=list(vms.values())
    )
    existing = find(vcenter, cluster).get(owner.tag)
    if existing is not None:
        rule.key = existing.key
    verb = "add" if existing is None else "edit"
    _change(vcenter, cluster, vim.ClusterRuleSpec(operation=verb, info=rule))


def verify(vcenter: Vcenter, vms: Mapping[str, Any]) -> None:
    """Raise LaunchFailed that names two VMs on the same host, if there are any."""
    if not vms:
        return
    values = read(vcenter, list(vms.values()), ["runtime.host"])
    seen: dict[str, str] = {}
    for name, vm in vms.items():
        host = values[vm._GetMoId()].get("runtime.host")
        host_id = "" if host is None else host._GetMoId()
        if host_id in seen:
            raise LaunchFailed(
                f"anti_affinity: {seen[host_id]} and {name} are on the same host",
                remedy="ask for fewer workers than there are hosts, or drop anti_affinity",
            )
        seen[host_id] = name


def find(vcenter: Vcenter, cluster: Any) -> dict[str, Any]:
    """Return the tagged rules of a cluster: owner's tag -> rule."""
    configuration = read(vcenter, [cluster], [_RULES])[cluster._GetMoId()].get(_RULES)
    rules = {}
    for rule in getattr(configuration, "rule", None) or ():
        owner = ownership.owner_of(rule.name or "")
        if owner is not None:
            rules[owner.tag] = rule
    return rules


def drop(vcenter: Vcenter, owner: Owner) -> None:
    """Remove the owner's rules on every cluster."""
    kind = module().vim.ClusterComputeResource
    for cluster, _ in bulk(vcenter, kind, ["name"]):
        rule = find(vcenter, cluster).get(owner.tag)
        if rule is not None:
            spec = module().vim.ClusterRuleSpec(operation="remove", removeKey=rule.key)
            _change(vcenter, cluster, spec)


def _change(vcenter: Vcenter, cluster: Any, spec: Any) -> None:
    whole = module().vim.ClusterConfigSpecEx(rulesSpec=[spec])
    begun = {"rule": cluster.ReconfigureComputeResource_Task(whole, True)}
    for done in tasks.tasks(vcenter, begun, TIMEOUT).values():
        if done.fault is not None:
            raise LaunchFailed(
                f"vCenter {vcenter.address} rejects the rule of anti_affinity: "
                f"{done.fault}: {done.message}",
                remedy="drop anti_affinity, or list a host in hosts for each worker",
            )
