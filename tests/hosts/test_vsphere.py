"""vSphere against the lab's vCenter: connection, bulk reads, clones and their faults."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bench.errors import EnvironmentUnfit, LaunchFailed
from bench.hosts.vsphere import counters, inventory, marks, migrations, wait
from bench.hosts.vsphere.client import Vcenter, module
from bench.hosts.vsphere.clones import Cloner, Recipe
from bench.hosts.vsphere.pools import MIB, Allocation, Pool
from bench.hosts.vsphere.removal import leftovers
from bench.model import Owner, Shape
from tests.labs import vcenter as lab

pytestmark = pytest.mark.skipif(
    lab.missing() is not None, reason=f"{lab.missing()}: make lab brings it"
)

OWNER = Owner(study="flights", session="260101-000000000-00aa", cluster="c1")
SHAPE = Shape(cores=2, memory=512 * MIB)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[lab.VCenter]:
    with lab.vcenter(tmp_path) as running:
        yield running


@pytest.fixture
def client(server: lab.VCenter) -> Iterator[Vcenter]:
    connected = connect(server)
    yield connected
    connected.close()


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
    rows = inventory.bulk(client, vim.VirtualMachine, ["name"])
    rows += inventory.bulk(client, vim.ResourcePool, ["name"])
    return {str(got["name"]) for _, got in rows}


def test_clones_are_what_was_asked_for_and_go_without_a_trace(client: Vcenter) -> None:
    before = names(client)
    pool = Pool(cpu=Allocation(limit=4000, shares="high"), memory=Allocation(limit=2048))
    cloner = Cloner(client, recipe(pool=pool))
    machines = cloner.acquire(2, OWNER, SHAPE)
    assert [one.name for one in machines] == [marks.vm_name(OWNER, n) for n in (0, 1)]
    assert len({one.address for one in machines}) == 2
    for one in machines:
        assert one.clone_seconds is not None
        config = one.vm.config
        assert (config.hardware.numCPU, config.hardware.memoryMB) == (2, 512)
        assert config.annotation == marks.annotation(OWNER)
        extra = {option.key: option.value for option in config.extraConfig}
        assert extra[marks.GUESTINFO] == marks.annotation(OWNER)
        assert one.vm.resourcePool.name == marks.pool_name(OWNER)
    held = machines[0].vm.resourcePool.config
    assert (held.cpuAllocation.limit, held.memoryAllocation.limit) == (4000, 2048)
    assert held.cpuAllocation.shares.level == "high"
    (left,) = leftovers(client, 30)
    assert left.owner == OWNER
    assert "2 VMs, 1 resource pool" in left.describe()
    cloner.release(machines[1:], OWNER)  # scale in: the pool and worker 0 stay
    assert names(client) - before == {marks.pool_name(OWNER), marks.vm_name(OWNER, 0)}
    (third,) = cloner.acquire(1, OWNER, SHAPE)
    assert third.name == marks.vm_name(OWNER, 2)
    cloner.release([machines[0], third], OWNER)
    cloner.release([machines[0], third], OWNER)
    assert names(client) == before


def test_linked_and_full_clones_come_up_and_a_missing_snapshot_is_named(client: Vcenter) -> None:
    for clone in ("linked", "full"):
        cloner = Cloner(client, recipe(clone=clone, snapshot="base"))
        (one,) = cloner.acquire(1, OWNER, SHAPE)
        cloner.release([one], OWNER)
    with pytest.raises(EnvironmentUnfit, match="no snapshot nightly"):
        Cloner(client, recipe(snapshot="nightly")).acquire(1, OWNER, SHAPE)


def test_a_clone_without_resources_undoes_the_others(server: lab.VCenter, client: Vcenter) -> None:
    before = names(client)
    server.change(fail_clones=[3])
    with pytest.raises(LaunchFailed, match="InsufficientResourcesFault"):
        Cloner(client, recipe()).acquire(4, OWNER, SHAPE)
    assert names(client) == before


def test_an_address_that_never_comes_names_the_vm(server: lab.VCenter, client: Vcenter) -> None:
    before = names(client)
    late = marks.vm_name(OWNER, 1)
    server.change(no_address=[late])
    with pytest.raises(LaunchFailed, match="no address after 1 s") as caught:
        Cloner(client, recipe(ip_timeout=1.0)).acquire(2, OWNER, SHAPE)
    assert late in str(caught.value)
    assert marks.vm_name(OWNER, 0) not in str(caught.value)
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
    machines = cloner.acquire(8, OWNER, SHAPE)
    other.join()
    made = {marks.vm_name(OWNER, number) for number in range(8)}
    assert names(client) - before == {*made, marks.pool_name(OWNER)}
    assert client.sessions > 1
    cloner.release(machines, OWNER)
    assert names(client) == before


def test_machines_that_a_lost_answer_left_are_adopted_not_cloned_again(
    server: lab.VCenter, client: Vcenter
) -> None:
    Cloner(client, recipe()).acquire(2, OWNER, SHAPE)  # a harness that forgot them
    cloned = server.calls()["CloneVM_Task"]
    cloner = Cloner(client, recipe())
    names_of = [marks.vm_name(OWNER, number) for number in range(3)]
    cloner._clone(names_of, OWNER, SHAPE, cloner._source())
    assert server.calls()["CloneVM_Task"] == cloned + 1


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
    machines = cloner.acquire(2, OWNER, SHAPE)
    timer.join()
    assert client.sessions >= 2
    assert server.calls()["CloneVM_Task"] == 2
    cloner.release(machines, OWNER)


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
    with pytest.raises(EnvironmentUnfit, match=said):
        Cloner(client, recipe(**changed)).acquire(1, OWNER, SHAPE)
    assert names(client) == before


def test_clones_stand_on_the_hosts_that_the_recipe_names(client: Vcenter) -> None:
    hosts = ("DC0_C0_H1", "DC0_C0_H2")
    cloner = Cloner(client, recipe(hosts=hosts))
    machines = cloner.acquire(4, OWNER, SHAPE)
    assert [one.vm.runtime.host.name for one in machines] == [*hosts, *hosts]
    cloner.release(machines, OWNER)


def test_a_wrong_password_is_refused_and_not_repeated_in_the_error(server: lab.VCenter) -> None:
    with pytest.raises(EnvironmentUnfit, match="user or password is refused") as caught:
        connect(server, password="not-the-password")
    assert "not-the-password" not in str(caught.value)


def test_an_unknown_certificate_is_refused_on_loopback_too(server: lab.VCenter) -> None:
    address = f"{server.address}:{server.port}"
    with pytest.raises(EnvironmentUnfit, match="certificate is not trusted"):
        Vcenter(address, server.user, server.password)


def test_a_server_that_is_gone_is_named(server: lab.VCenter) -> None:
    server.kill()
    with pytest.raises(LaunchFailed, match="does not answer: ConnectionRefusedError"):
        connect(server)


def test_a_vcenter_lost_after_the_clones_fails_the_opening_and_cleanup_finds_them(
    server: lab.VCenter, client: Vcenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloner = Cloner(client, recipe())
    monkeypatch.setattr(cloner, "_reshape", lambda *_: server.kill())
    with pytest.raises(LaunchFailed, match="does not answer"):
        cloner.acquire(2, OWNER, SHAPE)
    server.start()
    client.reconnect(10)
    (left,) = leftovers(client, 30)
    assert left.vms
    left.remove()
    assert not leftovers(client, 30)


def test_strangers_with_names_like_ours_are_left_alone(client: Vcenter) -> None:
    folder = client.find("DC0/vm", "folder")
    pool = client.find("DC0/host/DC0_C0", "cluster").resourcePool
    source = client.find("DC0/vm/bench-golden", "VM")
    vim = module().vim
    spec = vim.VirtualMachineCloneSpec(
        location=vim.VirtualMachineRelocateSpec(pool=pool), powerOn=False, template=False
    )
    for name in ("benchcast-golden", f"{marks.vm_name(OWNER, 1)}-copy"):
        source.CloneVM_Task(folder, name, spec)
    cloner = Cloner(client, recipe())
    machines = cloner.acquire(1, OWNER, SHAPE)
    before = names(client)
    (left,) = leftovers(client, 30)
    left.remove()
    assert before - names(client) == {machines[0].name, marks.pool_name(OWNER)}


def test_a_move_to_another_host_is_seen_with_when_and_where(client: Vcenter) -> None:
    cloner = Cloner(client, recipe(hosts=("DC0_C0_H0",)))
    machines = cloner.acquire(2, OWNER, SHAPE)
    vms = {one.name: one.vm for one in machines}
    since = migrations.clock(client)
    assert migrations.moves(client, vms, since) == []
    target = client.find("DC0/host/DC0_C0/DC0_C0_H1", "host")
    spec = module().vim.VirtualMachineRelocateSpec(host=target)
    wait.tasks(client, {"move": machines[1].vm.Relocate(spec)}, 10)
    (move,) = migrations.moves(client, vms, since)
    assert (move.name, move.source) == (machines[1].name, "DC0_C0_H0")
    assert since <= move.at <= migrations.clock(client)
    assert "DC0_C0" not in move.text()
    assert "from DC0_C0_H0 to another host" in move.text(known=["DC0_C0_H0"])
    cloner.release(machines, OWNER)


def test_counters_of_vms_and_hosts_become_one_table(
    client: Vcenter, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from pyarrow import parquet

    cloner = Cloner(client, recipe(hosts=("DC0_C0_H0", "DC0_C0_H1")))
    machines = cloner.acquire(2, OWNER, SHAPE)
    source = counters.VcenterCounters(client, {f"worker-{n}": m.vm for n, m in enumerate(machines)})
    source.start()
    source._since = migrations.clock(client) - timedelta(minutes=5)  # as of a run of five minutes
    client.calls.clear()
    source.stop(tmp_path)
    assert client.calls["QueryPerf"] == 1, caplog.text
    table = parquet.read_table(tmp_path / "vcenter.parquet").to_pandas()
    assert set(table["scope"]) == {"worker-0", "worker-1", "host-0", "host-1"}
    assert set(counters.COLUMNS) < set(table.columns)
    one = table[table["scope"] == "worker-0"]
    assert one["wall_ns"].is_monotonic_increasing
    assert one["cpu_usage"].between(0, 1).all()
    cloner.release(machines, OWNER)


def test_counters_of_a_lost_vcenter_fail_no_run(
    server: lab.VCenter, client: Vcenter, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vm = client.find("DC0/vm/bench-golden", "VM")
    source = counters.VcenterCounters(client, {"worker-0": vm})
    source.start()
    server.kill()
    source.stop(tmp_path)
    assert "no counters of vCenter" in caplog.text
    assert server.password not in caplog.text
    assert not (tmp_path / "vcenter.parquet").exists()


def test_events_of_a_vcenter_are_read_with_both_hosts() -> None:
    vim = module().vim

    def told(kind: str, source: str, target: str) -> migrations.Move | None:
        host = {word: vim.event.HostEventArgument(name=word) for word in (source, target)}
        event = getattr(vim.event, kind)(
            key=7,
            createdTime=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            vm=vim.event.VmEventArgument(name="w", vm=vim.VirtualMachine("vm-1")),
            sourceHost=host[source],
            host=host[target],
        )
        return migrations._move(event, {"vm-1": "w"})

    for kind in migrations.KINDS:
        move = told(kind, "esx-1", "esx-2")
        assert move is not None
        assert move.text(["esx-1", "esx-2"]) == f"w moved from esx-1 to esx-2 ({kind})"
    assert told("VmRelocatedEvent", "esx-1", "esx-1") is None  # disks only


@pytest.mark.slow
def test_five_hundred_hosts_are_read_in_a_handful_of_calls(tmp_path: Path) -> None:
    with lab.vcenter(tmp_path, hosts=500, machines=1) as server:
        client = connect(server)
        client.calls.clear()
        found = inventory.hosts(client)
        assert len({host.name for host in found}) == 500
        assert all(host.cores > 0 and host.memory > 0 for host in found)
        assert sum(client.calls.values()) <= 5
        client.close()
