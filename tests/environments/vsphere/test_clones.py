"""Clones on the lab's vCenter: what was asked for, and gone without a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.environments.vsphere import anti_affinity, ownership, templates
from bench.environments.vsphere.client import Vcenter
from bench.environments.vsphere.cloning import Cloner
from bench.environments.vsphere.recipe import Recipe
from bench.environments.vsphere.removal import owned
from bench.environments.vsphere.resource_pools import MIB, Allocation, Pool
from bench.errors import LaunchFailed, UnsuitableEnvironment
from bench.records.study import Shape
from tests.environments.vsphere.contract_cases import OWNER, SHAPE, called, connect, names, recipe
from tests.labs import vcenter as lab

pytestmark = pytest.mark.lab
INSTANT = recipe(clone="instant", template="DC0_C0_RP0_VM0")
SMALL = Shape(memory=32 * MIB)  # as that machine is


def test_clones_are_what_was_asked_for_and_go_without_a_trace(client: Vcenter) -> None:
    before = names(client)
    pool = Pool(cpu=Allocation(limit=4000, shares="high"), memory=Allocation(limit=2048))
    cloner = Cloner(client, recipe(pool=pool))
    machines = cloner.acquire([SHAPE] * 2, OWNER)
    assert [one.name for one in machines] == [ownership.vm_name(OWNER, n) for n in (0, 1)]
    assert len({one.address for one in machines}) == 2
    for one in machines:
        assert one.clone_seconds is not None
        config = one.vm.config
        assert (config.hardware.numCPU, config.hardware.memoryMB) == (2, 512)
        assert config.annotation == ownership.annotation(OWNER)
        extra = {option.key: option.value for option in config.extraConfig}
        assert extra[ownership.GUESTINFO] == ownership.annotation(OWNER)
        assert one.vm.resourcePool.name == ownership.pool_name(OWNER)
    held = machines[0].vm.resourcePool.config
    assert (held.cpuAllocation.limit, held.memoryAllocation.limit) == (4000, 2048)
    assert held.cpuAllocation.shares.level == "high"
    (left,) = owned(client, 30)
    assert left.owner == OWNER
    assert "2 VMs, 1 resource pool" in left.text
    cloner.release(called(machines[1:]), OWNER)  # scale in: the pool and worker 0 stay
    assert names(client) - before == {ownership.pool_name(OWNER), ownership.vm_name(OWNER, 0)}
    (third,) = cloner.acquire([SHAPE], OWNER)
    assert third.name == ownership.vm_name(OWNER, 2)
    for _ in range(2):
        cloner.release(called([machines[0], third]), OWNER)
    assert names(client) == before


def test_linked_and_full_clones_come_up_and_a_missing_snapshot_is_named(client: Vcenter) -> None:
    for clone in ("linked", "full"):
        cloner = Cloner(client, recipe(clone=clone, snapshot="base"))
        (one,) = cloner.acquire([SHAPE], OWNER)
        cloner.release(called([one]), OWNER)
    with pytest.raises(UnsuitableEnvironment, match="no snapshot nightly"):
        Cloner(client, recipe(snapshot="nightly")).acquire([SHAPE], OWNER)


def test_a_clone_that_got_another_shape_is_reconfigured(
    client: Vcenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = templates.clone

    def shapeless(found: Any, how: Recipe, name: str, where: Any, config: Any, guest: Any) -> Any:
        config.numCPUs = config.memoryMB = None
        return clone(found, how, name, where, config, guest)

    monkeypatch.setattr(templates, "clone", shapeless)
    cloner = Cloner(client, recipe())
    (one,) = cloner.acquire([SHAPE], OWNER)
    assert one.vm.config.hardware.numCPU == 2
    assert client.calls["ReconfigVM_Task"] == 1
    cloner.release([one.name], OWNER)


def test_clones_that_must_stand_apart_do_and_their_rule_goes_with_them(client: Vcenter) -> None:
    cluster = client.find("DC0/host/DC0_C0", "cluster")
    cloner = Cloner(client, recipe(anti_affinity=True))
    machines = cloner.acquire([SHAPE] * 2, OWNER)
    machines += cloner.acquire([SHAPE], OWNER)
    assert len({one.vm.runtime.host for one in machines}) == 3
    rule = anti_affinity.find(client, cluster)[OWNER.tag]
    assert {vm._GetMoId() for vm in rule.vm} == {one.vm._GetMoId() for one in machines}
    with pytest.raises(LaunchFailed, match="are on the same host"):
        cloner.acquire([SHAPE], OWNER)
    cloner.release(called(machines), OWNER)
    assert anti_affinity.find(client, cluster) == {}


def test_a_server_without_instant_clones_is_told_so(client: Vcenter) -> None:
    before = names(client)
    with pytest.raises(LaunchFailed, match="no instant clones"):
        Cloner(client, INSTANT).acquire([SMALL], OWNER)
    assert names(client) == before


def test_instant_clones_are_made_where_the_server_has_them(tmp_path: Path) -> None:
    with lab.vcenter(tmp_path, settings={"instant": True}) as server:
        client = connect(server)
        before = names(client)
        cloner = Cloner(client, INSTANT)
        machines = cloner.acquire([SMALL] * 2, OWNER)
        assert server.calls()["InstantClone_Task"] == 2
        assert "CloneVM_Task" not in server.calls()
        assert {one.vm.config.annotation for one in machines} == {ownership.annotation(OWNER)}
        cloner.release(called(machines), OWNER)
        assert names(client) == before
        client.close()


def test_clones_stand_on_the_hosts_that_the_recipe_names(client: Vcenter) -> None:
    hosts = ("DC0_C0_H1", "DC0_C0_H2")
    cloner = Cloner(client, recipe(hosts=hosts))
    machines = cloner.acquire([SHAPE] * 4, OWNER)
    assert [one.vm.runtime.host.name for one in machines] == [*hosts, *hosts]
    cloner.release(called(machines), OWNER)
