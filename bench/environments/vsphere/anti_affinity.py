"""Clones that stand apart: a marked DRS rule, and the proof that they do."""

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
    rows = bulk(vcenter, module().vim.HostSystem, paths, under=cluster)
    good = [
        (got["name"], host)
        for host, got in rows
        if got.get(paths[1]) == "connected" and not got.get(paths[2])
    ]
    return [host for _, host in sorted(good, key=lambda pair: str(pair[0]))]


def keep_apart(vcenter: Vcenter, cluster: Any, owner: Owner, vms: Mapping[str, Any]) -> None:
    """Have a DRS rule, by the owner's mark, that keeps these VMs on different hosts."""
    if len(vms) < 2:  # vCenter refuses a rule about one
        return
    vim = module().vim
    rule = vim.ClusterAntiAffinityRuleSpec(
        name=ownership.pool_name(owner), enabled=True, mandatory=True, vm=list(vms.values())
    )
    known = find(vcenter, cluster).get(owner.mark)
    if known is not None:
        rule.key = known.key
    verb = "add" if known is None else "edit"
    _change(vcenter, cluster, vim.ClusterRuleSpec(operation=verb, info=rule))


def verify(vcenter: Vcenter, vms: Mapping[str, Any]) -> None:
    """LaunchFailed that names two VMs on one host."""
    if not vms:
        return
    got = read(vcenter, list(vms.values()), ["runtime.host"])
    seen: dict[str, str] = {}
    for name, vm in vms.items():
        host = got[vm._GetMoId()].get("runtime.host")
        place = "" if host is None else host._GetMoId()
        if place in seen:
            raise LaunchFailed(
                f"anti_affinity: {seen[place]} and {name} are on the same host",
                remedy="ask for fewer workers than there are hosts, or drop anti_affinity",
            )
        seen[place] = name


def find(vcenter: Vcenter, cluster: Any) -> dict[str, Any]:
    """Return the marked rules of a cluster: an owner's mark -> the rule."""
    told = read(vcenter, [cluster], [_RULES])[cluster._GetMoId()].get(_RULES)
    found = {}
    for rule in getattr(told, "rule", None) or ():
        owner = ownership.owner_of(rule.name or "")
        if owner is not None:
            found[owner.mark] = rule
    return found


def drop(vcenter: Vcenter, owner: Owner) -> None:
    """Remove the owner's rules, of whatever cluster."""
    kind = module().vim.ClusterComputeResource
    for cluster, _ in bulk(vcenter, kind, ["name"]):
        rule = find(vcenter, cluster).get(owner.mark)
        if rule is not None:
            spec = module().vim.ClusterRuleSpec(operation="remove", removeKey=rule.key)
            _change(vcenter, cluster, spec)


def _change(vcenter: Vcenter, cluster: Any, spec: Any) -> None:
    whole = module().vim.ClusterConfigSpecEx(rulesSpec=[spec])
    begun = {"rule": cluster.ReconfigureComputeResource_Task(whole, True)}
    for done in tasks.tasks(vcenter, begun, TIMEOUT).values():
        if done.fault is not None:
            raise LaunchFailed(
                f"vCenter {vcenter.address} refuses the rule of anti_affinity: "
                f"{done.fault}: {done.message}",
                remedy="drop anti_affinity, or name one of hosts for each worker",
            )
