"""What a vCenter tells: inventory in bulk, moves, counters, facts of a clone's hypervisor."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bench.environments.vsphere import capacity, counters, host_keys, migrations, properties, tasks
from bench.environments.vsphere.client import Vcenter, module
from bench.environments.vsphere.cloning import Cloner
from bench.environments.vsphere.migrations import MigrationWatcher
from bench.environments.vsphere.resource_pools import Allocation, Pool
from tests.environments.vsphere.contract_cases import OWNER, SHAPE, called, connect, recipe
from tests.labs import vcenter as lab

pytestmark = pytest.mark.lab


def test_a_move_to_another_host_is_seen_with_when_and_where(client: Vcenter) -> None:
    cloner = Cloner(client, recipe(hosts=("DC0_C0_H0",)))
    machines = cloner.acquire([SHAPE] * 2, OWNER)
    vms = {one.name: one.vm for one in machines}
    since = migrations.clock(client)
    assert migrations.migrations(client, vms, since) == []
    target = client.find("DC0/host/DC0_C0/DC0_C0_H1", "host")
    spec = module().vim.VirtualMachineRelocateSpec(host=target)
    tasks.tasks(client, {"move": machines[1].vm.Relocate(spec)}, 10)
    (move,) = migrations.migrations(client, vms, since)
    assert (move.name, move.source, move.target) == (machines[1].name, "DC0_C0_H0", "DC0_C0_H1")
    assert since <= move.at <= migrations.clock(client)
    assert "DC0_C0" not in move.text()
    assert "from DC0_C0_H0 to another host" in move.text(named=["DC0_C0_H0"])
    cloner.release(called(machines), OWNER)


def test_a_move_in_mid_run_becomes_a_mark(client: Vcenter, tmp_path: Path) -> None:
    cloner = Cloner(client, recipe(hosts=("DC0_C0_H0",)))
    machines = cloner.acquire([SHAPE] * 2, OWNER)
    scopes = {f"worker-{number}": one.vm for number, one in enumerate(machines)}
    watch = MigrationWatcher(client, scopes, ["DC0_C0_H0"])
    watch.start(1.0)
    target = client.find("DC0/host/DC0_C0/DC0_C0_H1", "host")
    spec = module().vim.VirtualMachineRelocateSpec(host=target)
    tasks.tasks(client, {"move": machines[1].vm.Relocate(spec)}, 10)
    watch.stop(tmp_path)
    (mark,) = watch.events()
    said = "worker-1 moved from DC0_C0_H0 to another host (VmMigratedEvent)"
    assert (mark.kind, mark.text) == ("migrated", said)
    assert mark.at.tzinfo is not None
    watch.start(1.0)  # the next run saw none
    watch.stop(tmp_path)
    assert watch.events() == []
    cloner.release(called(machines), OWNER)


def test_facts_of_a_clone_s_hypervisor_are_known(client: Vcenter) -> None:
    pool = Pool(cpu=Allocation(limit=4000, shares="high"), memory=Allocation(reservation=64))
    how = recipe(hosts=("DC0_C0_H0",), pool=pool)
    cloner = Cloner(client, how)
    machines = cloner.acquire([SHAPE], OWNER)
    told = capacity.hypervisors(client, how, {one.name: one.vm for one in machines})[
        machines[0].name
    ]
    assert told["pool"] == "cpu at most 4000 MHz, shares high; memory reserved 64 MiB"
    assert told["hypervisor"].startswith("VMware vCenter")
    assert told["clone"] == "linked"
    (host,) = [one for one in properties.hosts(client) if one.name == "DC0_C0_H0"]
    assert told["host_cpu"] == host.cpu_model
    assert told["vcpus_per_core"] in ("1", "2")
    cloner.release(called(machines), OWNER)


def test_host_keys_are_taken_as_keys_only() -> None:
    told = "ssh-ed25519 AAAA== root@clone\n* ssh-rsa BBBB\n@cert-authority * ssh-rsa CC\nrubbish\n"
    assert host_keys.lines(told) == b"* ssh-ed25519 AAAA==\n"
    assert host_keys.lines("") == b""


def test_counters_of_vms_and_hosts_become_one_table(
    client: Vcenter, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from pyarrow import parquet

    cloner = Cloner(client, recipe(hosts=("DC0_C0_H0", "DC0_C0_H1")))
    machines = cloner.acquire([SHAPE] * 2, OWNER)
    source = counters.VcenterCounters(client, {f"worker-{n}": m.vm for n, m in enumerate(machines)})
    source.start(1.0)
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
    cloner.release(called(machines), OWNER)


def test_counters_of_a_lost_vcenter_fail_no_run(
    server: lab.VCenter, client: Vcenter, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vm = client.find("DC0/vm/bench-golden", "VM")
    source = counters.VcenterCounters(client, {"worker-0": vm})
    source.start(1.0)
    server.kill()
    source.stop(tmp_path)
    assert "no counters of vCenter" in caplog.text
    assert server.password not in caplog.text
    assert not (tmp_path / "vcenter.parquet").exists()


def test_events_of_a_vcenter_are_read_with_both_hosts() -> None:
    vim = module().vim

    def told(kind: str, source: str, target: str) -> migrations.Migration | None:
        host = {word: vim.event.HostEventArgument(name=word) for word in (source, target)}
        event = getattr(vim.event, kind)(
            key=7,
            createdTime=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            vm=vim.event.VmEventArgument(name="w", vm=vim.VirtualMachine("vm-1")),
            sourceHost=host[source],
            host=host[target],
        )
        return migrations._migration(event, {"vm-1": "w"})

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
        found = properties.hosts(client)
        assert len({host.name for host in found}) == 500
        assert all(host.cores > 0 and host.memory > 0 for host in found)
        assert sum(client.calls.values()) <= 5
        client.close()
