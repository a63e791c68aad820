"""What goes wrong with a vCenter: it is named, undone, and nobody else's is touched."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from bench.environments.vsphere import ownership, resource_pools
from bench.environments.vsphere.client import Vcenter, module
from bench.environments.vsphere.cloning import Cloner
from bench.environments.vsphere.removal import owned
from bench.environments.vsphere.resource_pools import Pool
from bench.errors import LaunchFailed, UnsuitableEnvironment
from tests.environments.vsphere.contract_cases import OWNER, SHAPE, called, connect, names, recipe
from tests.labs import vcenter as lab

pytestmark = pytest.mark.lab


def test_a_clone_without_resources_undoes_the_others(server: lab.VCenter, client: Vcenter) -> None:
    before = names(client)
    server.change(fail_clones=[3])
    with pytest.raises(LaunchFailed, match="InsufficientResourcesFault"):
        Cloner(client, recipe()).acquire([SHAPE] * 4, OWNER)
    assert names(client) == before


def test_an_address_that_never_comes_names_the_vm(server: lab.VCenter, client: Vcenter) -> None:
    before = names(client)
    late = ownership.vm_name(OWNER, 1)
    server.change(no_address=[late])
    with pytest.raises(LaunchFailed, match="no address after 1 s") as caught:
        Cloner(client, recipe(ip_timeout=1.0)).acquire([SHAPE] * 2, OWNER)
    assert late in str(caught.value)
    assert ownership.vm_name(OWNER, 0) not in str(caught.value)
    assert names(client) == before


def test_a_vcenter_killed_in_mid_clone_gives_each_machine_once(
    server: lab.VCenter, client: Vcenter
) -> None:
    before = names(client)
    server.change(clone_delay=1.0)

    def crash() -> None:
        while server.calls().get("CloneVM_Task", 0) < 8:
            time.sleep(0.02)
        server.kill()
        server.start()

    other = threading.Thread(target=crash)
    other.start()
    cloner = Cloner(client, recipe())
    machines = cloner.acquire([SHAPE] * 8, OWNER)
    other.join()
    made = {one.name for one in machines}
    assert made == {ownership.vm_name(OWNER, number) for number in range(8)}
    assert names(client) - before == {*made, ownership.pool_name(OWNER)}
    assert client.sessions > 1
    cloner.release(called(machines), OWNER)
    assert names(client) == before


def test_machines_that_a_lost_answer_left_are_adopted_not_cloned_again(
    server: lab.VCenter, client: Vcenter
) -> None:
    cloner = Cloner(client, recipe())
    cloner.acquire([SHAPE] * 2, OWNER)
    cloned = server.calls()["CloneVM_Task"]
    cloner._indices.clear()  # as if their answers had been lost
    machines = cloner.acquire([SHAPE] * 3, OWNER)
    assert server.calls()["CloneVM_Task"] == cloned + 1
    assert [one.clone_seconds is None for one in machines] == [True, True, False]


def test_a_vcenter_lost_after_the_clones_is_waited_for(
    server: lab.VCenter, client: Vcenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = names(client)
    cloner = Cloner(client, recipe())
    power_on = cloner._power_on
    crashes = iter([True])

    def crash(vms: Mapping[str, Any]) -> None:
        if next(crashes, False):
            server.kill()
            server.start()
        power_on(vms)

    monkeypatch.setattr(cloner, "_power_on", crash)
    machines = cloner.acquire([SHAPE] * 2, OWNER)
    assert all(one.vm.runtime.powerState == "poweredOn" for one in machines)
    made = {ownership.vm_name(OWNER, number) for number in range(2)}
    assert names(client) - before == {*made, ownership.pool_name(OWNER)}
    server.kill()
    server.start()
    cloner.release(called(machines), OWNER)
    assert names(client) == before


def test_a_pool_of_the_name_that_is_not_ours_is_refused_and_left_alone(client: Vcenter) -> None:
    root = client.find("DC0/host/DC0_C0", "cluster").resourcePool
    resource_pools.create(root, ownership.pool_name(OWNER), Pool())
    before = names(client)
    with pytest.raises(LaunchFailed, match="exists already") as caught:
        Cloner(client, recipe()).acquire([SHAPE], OWNER)
    assert ownership.pool_name(OWNER) in str(caught.value)
    assert names(client) == before


def test_what_cannot_be_undone_is_said(
    server: lab.VCenter,
    client: Vcenter,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cloner = Cloner(client, recipe(clone_timeout=1.0, ip_timeout=1.0), undo_seconds=0.5)
    monkeypatch.setattr(cloner, "_reshape", lambda *_: server.kill())
    with pytest.raises(LaunchFailed, match="does not answer"):
        cloner.acquire([SHAPE] * 2, OWNER)
    assert ownership.vm_name(OWNER, 1) in caplog.text
    assert "benchcast cleanup" in caplog.text
    assert server.password not in caplog.text


def test_an_expired_session_is_renewed(server: lab.VCenter, client: Vcenter) -> None:
    server.expire()
    assert names(client)
    assert client.sessions == 2


def test_a_session_that_expires_in_mid_wait_is_renewed(
    server: lab.VCenter, client: Vcenter
) -> None:
    server.change(clone_delay=1.5)
    timer = threading.Timer(0.7, server.expire)
    timer.start()
    cloner = Cloner(client, recipe())
    machines = cloner.acquire([SHAPE] * 2, OWNER)
    timer.join()
    assert client.sessions >= 2
    assert server.calls()["CloneVM_Task"] == 2
    cloner.release(called(machines), OWNER)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"template": "bench-gone"}, "no template at 'DC0/vm/bench-gone'"),
        ({"cluster": "C9"}, "no cluster at 'DC0/host/C9'"),
        ({"datastore": "none"}, "no datastore at 'DC0/datastore/none'"),
        ({"hosts": ("esx-9",)}, "no host at 'DC0/host/DC0_C0/esx-9'"),
        ({"folder": "nowhere"}, "no folder at 'DC0/vm/nowhere'"),
    ],
)
def test_what_is_not_there_is_named(client: Vcenter, changed: dict[str, object], said: str) -> None:
    before = names(client)
    with pytest.raises(UnsuitableEnvironment, match=said):
        Cloner(client, recipe(**changed)).acquire([SHAPE], OWNER)
    assert names(client) == before


def test_a_wrong_password_is_refused_and_not_repeated_in_the_error(server: lab.VCenter) -> None:
    with pytest.raises(UnsuitableEnvironment, match="user or password is wrong") as caught:
        connect(server, password="not-the-password")
    assert "not-the-password" not in str(caught.value)


def test_an_unknown_certificate_is_refused_on_loopback_too(server: lab.VCenter) -> None:
    address = f"{server.address}:{server.port}"
    with pytest.raises(UnsuitableEnvironment, match="certificate is not trusted"):
        Vcenter(address, server.user, server.password)


def test_a_server_that_is_gone_is_named(server: lab.VCenter) -> None:
    server.kill()
    with pytest.raises(LaunchFailed, match="does not answer: ConnectionRefusedError"):
        connect(server)


def test_a_vcenter_lost_after_the_clones_fails_the_opening_and_cleanup_finds_them(
    server: lab.VCenter, client: Vcenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloner = Cloner(client, recipe(clone_timeout=1.0, ip_timeout=1.0), undo_seconds=0.5)
    monkeypatch.setattr(cloner, "_reshape", lambda *_: server.kill())
    with pytest.raises(LaunchFailed, match="does not answer"):
        cloner.acquire([SHAPE] * 2, OWNER)
    server.start()
    client.reconnect(10)
    (left,) = owned(client, 30)
    assert "VM" in left.text
    left.remove()
    assert not owned(client, 30)


def test_strangers_with_names_like_ours_are_left_alone(client: Vcenter) -> None:
    folder = client.find("DC0/vm", "folder")
    pool = client.find("DC0/host/DC0_C0", "cluster").resourcePool
    source = client.find("DC0/vm/bench-golden", "VM")
    vim = module().vim
    spec = vim.VirtualMachineCloneSpec(
        location=vim.VirtualMachineRelocateSpec(pool=pool), powerOn=False, template=False
    )
    for name in ("benchcast-golden", f"{ownership.vm_name(OWNER, 1)}-copy"):
        source.CloneVM_Task(folder, name, spec)
    cloner = Cloner(client, recipe())
    machines = cloner.acquire([SHAPE], OWNER)
    before = names(client)
    (left,) = owned(client, 30)
    left.remove()
    assert before - names(client) == {machines[0].name, ownership.pool_name(OWNER)}
