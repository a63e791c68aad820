"""Whose a resource pool is: its name, its attribute, and what is in it."""

from __future__ import annotations

import logging

import pytest

from bench.environments.vsphere import ownership, resource_pools
from bench.environments.vsphere.client import Vcenter, module
from bench.environments.vsphere.cloning import Cloner
from bench.environments.vsphere.removal import owned, remove
from bench.environments.vsphere.resource_pools import Pool
from bench.errors import LaunchFailed
from bench.records.cluster import Owner
from tests.environments.vsphere.contract_cases import OWNER, SHAPE, called, connect, names, recipe
from tests.labs import vcenter as lab

pytestmark = pytest.mark.lab
OTHER = Owner(study="theirs", session="260101-000000000-00aa", cluster="c2")
NAME = ownership.pool_name(OWNER)


def root(client: Vcenter) -> object:
    return client.find("DC0/host/DC0_C0", "cluster").resourcePool


def ask_for_one(client: Vcenter) -> None:
    with pytest.raises(LaunchFailed, match="exists already and does not belong to this session"):
        Cloner(client, recipe()).acquire([SHAPE], OWNER)


def test_our_pool_is_marked_once_and_found_by_its_mark(client: Vcenter) -> None:
    cloner = Cloner(client, recipe())
    machines = cloner.acquire([SHAPE], OWNER)
    machines += cloner.acquire([SHAPE], OWNER)
    ((pool, owner),) = resource_pools.owned(client)
    assert owner == OWNER  # the study too, which no name says
    assert [one.value for one in pool.customValue] == [ownership.annotation(OWNER)]
    assert (client.calls["AddCustomFieldDef"], client.calls["SetField"]) == (1, 1)
    cloner.release(called(machines), OWNER)
    assert resource_pools.owned(client) == []
    machines = cloner.acquire([SHAPE], OTHER)  # the attribute is there by now
    assert client.calls["AddCustomFieldDef"] == 1
    cloner.release(called(machines), OTHER)


def test_a_taken_name_is_neither_adopted_nor_removed(client: Vcenter) -> None:
    """Where a stranger's VM is in it, and where it is marked as another owner's."""
    theirs = resource_pools.create(root(client), NAME, Pool())
    vim = module().vim
    where = vim.VirtualMachineRelocateSpec(pool=theirs)
    spec = vim.VirtualMachineCloneSpec(location=where, powerOn=False, template=False)
    folder = client.find("DC0/vm", "folder")
    client.find("DC0/vm/bench-golden", "VM").CloneVM_Task(folder, "their-vm", spec)
    marked = resource_pools.create(root(client), ownership.pool_name(OTHER), Pool())
    resource_pools.set_owner(client, marked, OWNER)
    before = names(client)
    ask_for_one(client)
    assert not owned(client, 30)
    for owner in (OWNER, OTHER):
        remove(client, None, owner, 30)
    assert names(client) == before
    assert theirs.name == NAME


def test_a_pool_of_that_name_that_is_ours_is_removed_but_not_taken_over(client: Vcenter) -> None:
    """A session's name is given once: what carries it already was not made by this process."""
    pool = resource_pools.create(root(client), NAME, Pool())
    resource_pools.set_owner(client, pool, OWNER)
    ask_for_one(client)
    (left,) = owned(client, 30)
    assert (left.owner, left.text) == (
        OWNER,
        f"1 resource pool on vCenter of study {OWNER.study}, session {OWNER.session}",
    )
    left.remove()
    assert not owned(client, 30)


def test_killed_before_its_mark_an_empty_pool_is_known_by_its_name(client: Vcenter) -> None:
    resource_pools.create(root(client), NAME, Pool())
    (left,) = owned(client, 30)
    assert left.owner.tag == OWNER.tag
    left.remove()
    assert NAME not in names(client)


def test_a_mark_outlives_the_vcenter(server: lab.VCenter, client: Vcenter) -> None:
    resource_pools.set_owner(client, resource_pools.create(root(client), NAME, Pool()), OWNER)
    machines = Cloner(client, recipe()).acquire([SHAPE], OTHER)  # its task ends when all is saved
    server.kill()
    server.start()
    client.reconnect(10)
    assert {owner.study for _, owner in resource_pools.owned(client)} == {OWNER.study, OTHER.study}
    remove(client, set(called(machines)), OTHER, 30)
    remove(client, None, OWNER, 30)
    assert resource_pools.owned(client) == []


@pytest.mark.parametrize("method", ["AddCustomFieldDef", "SetField"])
def test_a_user_who_may_not_mark_is_warned_and_goes_on(
    method: str, server: lab.VCenter, caplog: pytest.LogCaptureFixture
) -> None:
    server.change(lacking=[method])
    client = connect(server)
    before = names(client)
    cloner = Cloner(client, recipe())
    with caplog.at_level(logging.WARNING):
        machines = cloner.acquire([SHAPE], OWNER) + cloner.acquire([SHAPE], OWNER)
    (said,) = caplog.messages
    assert f"only the pool's name tells its owner: the user lacks Lab.{method}" in said
    cloner.release(called(machines), OWNER)
    assert names(client) == before
    client.close()
