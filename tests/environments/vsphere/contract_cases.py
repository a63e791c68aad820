"""What the tests of vSphere share: an owner, a recipe, a connection to the lab's vCenter."""

from __future__ import annotations

from collections.abc import Iterable

from bench.environments.vsphere import properties
from bench.environments.vsphere.client import Vcenter, module
from bench.environments.vsphere.cloning import Machine
from bench.environments.vsphere.recipe import Recipe
from bench.environments.vsphere.resource_pools import MIB
from bench.records.cluster import Owner
from bench.records.study import Shape
from tests.labs import vcenter as lab

OWNER = Owner(study="flights", session="260101-000000000-00aa", cluster="c1")
SHAPE = Shape(cores=2, memory=512 * MIB)


def connect(server: lab.VCenter, **changed: str) -> Vcenter:
    given = {"user": server.user, "password": server.password, **changed}
    address = f"{server.address}:{server.port}"
    return Vcenter(address, **given, ca=server.cert, call_timeout=20)


def recipe(**changed: object) -> Recipe:
    known: dict[str, object] = {
        "datacenter": "DC0",
        "cluster": "DC0_C0",
        "template": "bench-golden",
        "clone_timeout": 30.0,
        "ip_timeout": 10.0,
    }
    return Recipe(**(known | changed))  # type: ignore[arg-type]


def names(client: Vcenter) -> set[str]:
    """The names of every VM and resource pool there is."""
    vim = module().vim
    rows = properties.bulk(client, vim.VirtualMachine, ["name"])
    rows += properties.bulk(client, vim.ResourcePool, ["name"])
    return {str(got["name"]) for _, got in rows}


def called(machines: Iterable[Machine]) -> list[str]:
    return [one.name for one in machines]
