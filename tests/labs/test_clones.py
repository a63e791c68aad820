"""Workers on cloned machines: scaled out and in, known by their keys, killed, and gone."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bench import environments
from bench.contracts import Adaptable, Cluster
from bench.environments.vsphere import ownership, properties, tasks
from bench.environments.vsphere.client import module
from bench.environments.vsphere.environment import VsphereEnvironment
from bench.environments.vsphere.provider import CloneHost
from bench.errors import LaunchFailed
from bench.hosts.channel import Timeouts
from bench.records.cluster import ClusterSpec, Owner
from bench.records.study import EnvironmentSpec, Shape
from bench.store.folder import Store
from bench.store.reader import Results
from tests.conftest import absent
from tests.jobs import job
from tests.labs import hosts as lab_hosts
from tests.labs.clones import Site, site
from tests.labs.vcenter import missing

pytest.importorskip("pyVmomi", reason="pip install 'benchcast[vsphere]'")
pytest.importorskip("asyncssh", reason="pip install 'benchcast[ssh]'")
pytestmark = [pytest.mark.lab, pytest.mark.alone]

OWNER = Owner(study="clones", session="260101-000000000-00aa", cluster="c1")
QUICK = """
title   = "quick"
workers = [1, 2, 3]
repeats = 1
[[workload]]
use     = "./quick"
params  = { seconds = 0.3 }
"""
JOB = job("tensorflow")
KILLS = 20  # moments of a violent end


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Site]:
    """A vCenter whose clones are hosts."""
    if reason := missing():
        absent(f"the lab's vCenter ({reason})", "make lab")
    if reason := lab_hosts.missing():
        absent(f"the lab's hosts ({reason})", "make lab")
    with site(tmp_path) as made:
        yield made


def build(place: Site, **changed: object) -> VsphereEnvironment:
    spec = EnvironmentSpec(name="dc0", kind="vsphere", settings=place.settings(**changed))
    made = environments.build(spec)
    assert isinstance(made, VsphereEnvironment)
    return made


def need(workers: int, *, engine: str = "tensorflow", cores: int = 1) -> ClusterSpec:
    shape = Shape(cores=cores, memory=256 << 20)
    return ClusterSpec(engine=engine, workers=workers, worker=shape, driver=Shape(memory=256 << 20))


def names(there: VsphereEnvironment) -> set[str]:
    """The VMs and pools that carry a tag of ours."""
    vim = module().vim
    rows = properties.bulk(there.clones.vcenter, vim.VirtualMachine, ["name"])
    rows += properties.bulk(there.clones.vcenter, vim.ResourcePool, ["name"])
    return {str(got["name"]) for _, got in rows if ownership.owner_of(str(got["name"]))}


def adapt(cluster: Cluster, wanted: ClusterSpec) -> None:
    assert isinstance(cluster, Adaptable)
    cluster.adapt(wanted)


def held(there: VsphereEnvironment, *numbers: int) -> set[str]:
    return {ownership.pool_name(OWNER), *(ownership.vm_name(OWNER, number) for number in numbers)}


def test_a_cluster_is_scaled_out_and_in_and_what_can_stay_stays(place: Site) -> None:
    there = build(place)
    cluster = there.open(need(1), OWNER)
    assert names(there) == held(there, 0)
    adapt(cluster, need(3))
    assert names(there) == held(there, 0, 1, 2)
    assert [use.role for use in cluster.facts.uses] == ["worker"] * 3
    assert all(use.provision_seconds is not None for use in cluster.facts.uses)
    (machine, *_) = cluster.facts.machines.values()
    assert machine.hypervisor["clone"] == "linked"
    assert machine.hypervisor["pool"] == "no limits"
    adapt(cluster, need(2))
    assert names(there) == held(there, 0, 1)
    adapt(cluster, need(2, cores=2))  # another shape: all are new
    assert names(there) == held(there, 3, 4)
    cluster.close()
    cluster.close()
    assert names(there) == set()
    cloned = [use for use in cluster.facts.uses if use.provision_seconds is not None]
    assert len(cloned) == 5  # all that it ever had
    assert place.server.calls()["CloneVM_Task"] == 5


def test_spark_has_a_driver_of_its_own_and_tensorflow_none(place: Site) -> None:
    provider = build(place).clones
    driver, *workers = provider.scale([], need(2, engine="spark"), OWNER)
    assert isinstance(driver, CloneHost)
    assert len({one.address for one in (driver, *workers)}) == 3
    beside, *same = provider.scale([driver, *workers], need(2), OWNER)
    assert same == workers
    assert beside.address == workers[0].address
    again, *same = provider.scale([beside, *workers], need(1, engine="spark"), OWNER)
    assert same == workers[:1]
    assert again.address not in {one.address for one in workers}
    assert place.server.calls()["CloneVM_Task"] == 4
    provider.release([again, *same])
    assert names(build(place)) == set()


def test_a_clone_is_known_by_the_key_that_vcenter_or_the_file_tells(
    place: Site, tmp_path: Path
) -> None:
    known = str(place.hooks.known_hosts)
    Path(known).touch()
    build(place, ssh_known_hosts=known).open(need(1), OWNER).close()
    other = tmp_path / "other"
    other.write_text("")
    there = build(place, ssh_known_hosts=str(other))
    with pytest.raises(LaunchFailed, match="host key is not in known_hosts") as caught:
        there.open(need(1), OWNER)
    assert ownership.vm_name(OWNER, 0) in str(caught.value)
    # no address of a host that the study does not name
    assert not re.search(r"\d+\.\d+\.\d+\.\d+", str(caught.value))
    assert names(there) == set()


def test_a_clone_whose_keys_are_not_told_is_not_trusted(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.environments.vsphere.host_keys.GUESTINFO", "guestinfo.other")
    there = build(place, address_timeout="2 s")
    with pytest.raises(LaunchFailed, match="no host key of"):
        there.open(need(1), OWNER)
    assert names(there) == set()


def test_a_refused_key_names_the_clone_and_leaves_nothing(place: Site, tmp_path: Path) -> None:
    key = tmp_path / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    there = build(place, ssh_key=key)
    with pytest.raises(LaunchFailed, match="refuses the key") as caught:
        there.open(need(2), OWNER)
    assert ownership.pool_name(OWNER) in str(caught.value)
    assert names(there) == set()


def test_a_clone_that_dies_in_mid_run_is_named(place: Site, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("import time\nprint('up', flush=True)\ntime.sleep(600)\n")
    there = build(place)
    there.clones.timeouts = Timeouts(connect=2.0, lost=1.0, keepalive=1.0)
    cluster = there.open(need(2), OWNER)
    job = msgspec.structs.replace(JOB, bundle={"main.py": str(tmp_path / "main.py")}, workers=2)
    running = cluster.submit(job)
    assert not running.wait(1.0)
    vcenter = there.clones.vcenter
    name = ownership.vm_name(OWNER, 1)
    tasks.tasks(vcenter, {name: vcenter.find(f"DC0/vm/{name}", "VM").PowerOff()}, 20)
    assert running.wait(60)
    outcome = running.collect(tmp_path)
    assert outcome.status == "failed"
    assert name in outcome.reason
    cluster.close()
    assert names(there) == set()


def test_a_study_over_one_to_three_workers_keeps_its_secrets(place: Site) -> None:
    place.quick()
    study = place.study(QUICK)
    code, out, errors = place.benchcast("run", str(study))
    assert (code, errors) == (0, errors), errors
    read = Store(place.folder / "results" / "clones").read()
    assert sorted(run.workers_seen or 0 for run in read.runs) == [1, 2, 3]
    assert {run.status for run in read.runs} == {"ok"}
    assert all(use.provision_seconds for line in read.lives.values() for use in line.machines)
    assert names(build(place)) == set()
    kept = [path for path in (place.folder / "results").rglob("*") if path.is_file()]
    texts = [path.read_bytes() for path in kept] + [out.encode(), errors.encode()]
    for secret in (place.server.password, str(place.hooks.key), str(place.server.cert)):
        assert not any(secret.encode() in text for text in texts)
    (session,) = read.sessions.values()
    recorded = session.study.environments[0].settings
    assert {"user", "password", "ca", "ssh"}.isdisjoint(recorded)
    assert "vcenter.parquet" in {path.name for path in kept}


def test_a_move_in_mid_run_is_a_mark_of_that_run(place: Site) -> None:
    place.quick()
    text = QUICK.replace("[1, 2, 3]", "2").replace("0.3", "4.0")
    study = place.study(text, settings=place.settings(hosts=["DC0_C0_H0", "DC0_C0_H1"]))
    there = build(place)
    with place.popen("run", str(study)) as running:
        moved = False
        while running.poll() is None:
            time.sleep(0.1)
            if not moved and started(place.folder / "results" / "clones"):
                time.sleep(1.0)
                _move(there, "DC0_C0_H2")
                moved = True
        assert running.returncode == 0, running.communicate()[1]
    (run,) = Store(place.folder / "results" / "clones").read().runs
    (tag,) = [one for one in run.events if one.kind == "migrated"]
    assert tag.text.startswith("worker-1 moved from DC0_C0_H1 to another host")
    assert run.started_at < tag.at


def started(results: Path) -> bool:
    return any('"started"' in path.read_text() for path in results.glob("*.jsonl"))


def _move(there: VsphereEnvironment, target: str) -> None:
    vcenter = there.clones.vcenter
    rows = properties.bulk(vcenter, module().vim.VirtualMachine, ["name"])
    (vm,) = [
        vm for vm, got in rows if ownership.owner_of(got["name"]) and got["name"].endswith("-1")
    ]
    host = vcenter.find(f"DC0/host/DC0_C0/{target}", "host")
    spec = module().vim.VirtualMachineRelocateSpec(host=host)
    tasks.tasks(vcenter, {"move": vm.Relocate(spec)}, 20)


@pytest.mark.timeout(600)
def test_what_a_killed_harness_left_cleanup_removes_and_nothing_else(place: Site) -> None:
    place.quick()
    place.server.change(clone_delay=0.3)
    study = place.study(QUICK)
    there = build(place)
    killed, _ = place.kills(study, lambda: everything(there), times=KILLS, seed=5)
    assert killed > KILLS // 2
    read: Results = Store(place.folder / "results" / "clones").read()
    assert len(read.sessions) == KILLS + 1


def everything(there: VsphereEnvironment) -> set[str]:
    vim = module().vim
    rows = properties.bulk(there.clones.vcenter, vim.VirtualMachine, ["name"])
    rows += properties.bulk(there.clones.vcenter, vim.ResourcePool, ["name"])
    return {str(got["name"]) for _, got in rows}


def test_two_vcenters_of_one_study_are_two_sites(place: Site, tmp_path: Path) -> None:
    other_folder = tmp_path / "second"
    other_folder.mkdir()
    place.quick()
    with site(other_folder) as other:
        sites = "\n".join(
            f"[site.{name}]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys)
            for name, keys in (("dc1", _flat(place)), ("dc2", _flat(other)))
        )
        entries = "".join(
            f'[[environment]]\nuse = "{name}"\nssh = {{ user = "root", key = "{one.hooks.key}",'
            f' python = "{place.settings()["ssh"]["python"]}" }}\n'  # type: ignore[index]
            f'password = {{ file = "{one.folder / "password"}" }}\n'
            for name, one in (("dc1", place), ("dc2", other))
        )
        study = place.folder / "two.toml"
        study.write_text(QUICK.replace("[1, 2, 3]", "1") + sites + "\n" + entries)
        code, _, errors = place.benchcast("run", str(study))
        assert code == 0, errors
        read = Store(place.folder / "results" / "two").read()
        assert {run.cell.environment for run in read.runs} == {"dc1", "dc2"}
        assert {run.status for run in read.runs} == {"ok"}
        assert other.server.calls()["CloneVM_Task"] == 1


def _flat(one: Site) -> list[tuple[str, object]]:
    simple = {k: v for k, v in one.settings().items() if isinstance(v, str)}
    return [("kind", "vsphere"), *simple.items()]


def test_plan_says_what_would_be_created_and_creates_nothing(place: Site) -> None:
    place.quick()
    study = place.study("limits = { machines = 2 }\n" + QUICK)
    code, out, errors = place.benchcast("plan", str(study))
    assert code == 0, errors
    flat = " ".join(out.split())
    assert "would create: dc0 (vsphere): up to 3 VMs (3 workers of 1 core" in flat
    assert "in the resource pool benchcast-<session>.<cluster> (no limits) on DC0/DC0_C0" in flat
    assert "3 workers on dc0 take 3 machines; limits.machines = 2" in flat
    assert place.server.calls().get("CloneVM_Task", 0) == 0
    data = json.loads(place.benchcast("plan", str(study), "--json")[1])["data"]
    assert list(data["creates"]) == ["dc0"]


def test_what_the_vcenter_lacks_is_found_before_anything_starts(place: Site) -> None:
    assert build(place).check(need(1)) == []
    for changed, said in (
        ({"template": "gone"}, "no template at 'DC0/vm/gone'"),
        ({"ca": None}, "certificate is not trusted"),
        ({"password": {"env": "BENCHCAST_NOT_SET"}}, "BENCHCAST_NOT_SET is not set"),
        ({"clone": "instant"}, "no instant clones"),
        ({"hosts": ["esx-9"]}, "has no host 'esx-9'"),
        ({"user": None}, "user and password are missing"),
    ):
        found = build(place, **changed).check(need(1))
        (finding,) = [one for one in found if one.scope == "study"]
        assert finding.severity == "error"
        assert said in finding.what
        assert place.server.password not in str(finding)
    (late,) = build(place, vcenter="127.0.0.1:1").check(need(1))
    assert (late.scope, "does not answer" in late.what) == ("cell", True)
    big = build(place).check(need(1, cores=4096))
    assert any("4096 cores" in one.what for one in big)
