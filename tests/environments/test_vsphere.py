"""The vsphere environment without a vCenter: settings, what is recorded, what is found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from bench import environments, study, workloads
from bench.contracts import Finding
from bench.environments.vsphere import checks
from bench.environments.vsphere.capacity import Survey
from bench.environments.vsphere.client import host_and_port
from bench.environments.vsphere.environment import VsphereEnvironment
from bench.environments.vsphere.properties import HostFacts
from bench.environments.vsphere.recipe import Recipe, describe_limits
from bench.environments.vsphere.resource_pools import Allocation, Pool
from bench.errors import StudyError, UnsuitableEnvironment
from bench.records.cluster import ClusterSpec
from bench.records.study import EnvironmentSpec, Shape, Study
from tests.campaigns import write
from tests.cli.test_bad_input import benchcast

GIB = 1 << 30
STUDY = """
title   = "t"
workers = [1, 3]
[[workload]]
use     = "tensorflow-logistic-regression"
dataset = "flights"
[[environment]]
kind       = "vsphere"
vcenter    = "vc.dc1.example"
user       = "bench"
password   = { env = "DC1_PASSWORD" }
ca         = "/home/me/ca.pem"
datacenter = "DC1"
cluster    = "C1"
template   = "golden"
ssh        = { user = "worker", key = "~/.ssh/id" }
"""
SETTINGS: Mapping[str, object] = {
    "vcenter": "vc.dc1.example",
    "datacenter": "DC1",
    "cluster": "C1",
    "template": "golden",
}
HOST = HostFacts(
    id="h",
    name="esx-1",
    model="m",
    cpu_model="c",
    cores=8,
    threads=16,
    mhz=2000,
    memory=32 * GIB,
    connected=True,
)
MET = Survey(
    product="VMware vCenter Server 8.0.2",
    hosts=(HOST, msgspec.structs.replace(HOST, id="i", name="esx-2")),
    networks=(),
    running=False,
    cores=1,
    memory=GIB,
    free_cpu=1000,
    free_memory=2048,
    instant=True,
)
RECIPE = Recipe(datacenter="DC1", cluster="C1", template="golden")
ONE = Shape(cores=2, memory=4 * GIB)
ON_GPU = Shape(cores=2, memory=4 * GIB, gpus=1, gpu="grid_a100-40c")
WITH_GPUS = msgspec.structs.replace(HOST, gpus=("grid_a100-20c", "grid_a100-40c"))


def load(folder: Path, text: str) -> Study:
    path = folder / "dc1.toml"
    path.write_text(text)
    return study.load(path, environments.kinds(), workload=workloads.manifest)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ('password = "hunter2"', "a secret is never written into a study"),
        ('password = { text = "hunter2" }', "a secret is never written into a study"),
        ('ssh = { passphrase = "hunter2" }', "a secret is never written into a study"),
        ('ssh = { user = "w", pasphrase = "hunter2" }', "unknown field 'pasphrase'"),
        ('ssh = { alias = "golden" }', "set known_hosts too"),
        ('ssh = { user = "w", strict = false }', "strict"),
        ("verify = false", "verify: unknown key"),
        ('clone = "copied"', "clone"),
        ('vcenter = ""', "vcenter"),
        ('vcenter = "vc.example:abc"', '"vc.example.org:443" is'),
        ('vcenter = "vc.example:-443"', '"vc.example.org:443" is'),
        ('vcenter = "vc.example:0"', '"vc.example.org:443" is'),
        ('vcenter = "https://vc.example"', '"vc.example.org:443" is'),
        ('vcenter = "vc..example"', '"vc.example.org:443" is'),
        (f'vcenter = "{"v" * 64}.example"', '"vc.example.org:443" is'),
        ('clone = "instant"\ncustomize = "linux"', "customize is for clones that boot"),
        ("worker = { gpus = 1 }", "gpus without gpu"),
        ('worker = { gpu = "grid_a100-40c" }', "gpu without gpus"),
        ('worker = { gpus = 0, gpu = "a" }', "a whole number from 1 on"),
        ('driver = { gpus = 1, gpu = "a" }', "gpus"),
        ('clone = "full"\nsnapshot = "base"', "snapshot is for linked clones"),
        ('clone_timeout = "0 s"', "a duration above 0 is"),
        ('system_memory = "much"', "is not an amount of memory"),
        ('pool = { memory = { limit = "8 apples" } }', "is not an amount of memory"),
        ("pool = { cpu = { limit = 0 } }", "pool.cpu.limit"),
    ],
)
def test_wrong_settings_are_errors_of_the_study(wrong: str, said: str, tmp_path: Path) -> None:
    keys = [line.split(" = ")[0] for line in wrong.splitlines()]
    lines = [line for line in STUDY.splitlines() if line.split(" ")[0] not in keys]
    with pytest.raises(StudyError) as caught:
        load(tmp_path, "\n".join([*lines, wrong, ""]))
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_users_paths_and_secrets_places_are_not_recorded(tmp_path: Path) -> None:
    (spec,) = load(tmp_path, STUDY + 'clone_timeout = "5 min"\n').environments
    assert spec.settings["user"] == "bench"
    recorded = spec.for_record().settings
    assert {"user", "password", "ca", "ssh"}.isdisjoint(recorded)
    assert recorded["clone_timeout"] == "5 min"
    assert "clone_timeout" not in spec.keyed
    assert {"vcenter", "cluster", "template", "clone", "pool", "hosts"} <= set(spec.keyed)


def test_gpus_are_of_the_worker_and_in_the_key_only_where_they_are_said(tmp_path: Path) -> None:
    without = load(tmp_path, STUDY).cases
    said = STUDY + 'worker = { gpus = [1, 2], gpu = "grid_a100-40c" }\n'
    cases = load(tmp_path, said).cases
    assert {(case.workers, case.worker.gpus) for case in cases} == {
        (workers, gpus) for workers in (1, 3) for gpus in (1, 2)
    }
    assert {case.worker.gpu for case in cases} == {"grid_a100-40c"}
    assert {case.driver.gpus for case in cases} == {msgspec.UNSET}
    assert {tuple(case.factors) for case in cases} == {("worker.gpus", "workers")}
    shapes = msgspec.to_builtins([case.worker for case in (*without, cases[0])])
    assert [set(shape) & {"gpus", "gpu"} for shape in shapes] == [set(), set(), {"gpus", "gpu"}]
    here = 'kind = "local"\nworker = { gpus = 1, gpu = "a" }\n'
    with pytest.raises(StudyError, match="gpus"):  # a kind that gives none
        load(tmp_path, STUDY.split("kind")[0] + here)


def test_spark_takes_a_machine_more_and_plan_says_what_is_made() -> None:
    pytest.importorskip("pyVmomi", reason="pip install 'benchcast[vsphere]'")
    pytest.importorskip("asyncssh", reason="pip install 'benchcast[ssh]'")
    pool = {"memory": {"limit": "8 GiB"}, "cpu": {"shares": "low"}}
    settings = {**SETTINGS, "pool": pool, "system_memory": "512 MiB"}
    spec = EnvironmentSpec(name="dc1", kind="vsphere", settings=settings)
    there = environments.build(spec)  # without a user: records hold none
    assert isinstance(there, VsphereEnvironment)
    spark = ClusterSpec(engine="spark", workers=3, worker=ONE, driver=Shape())
    assert there.machines(spark) == 4
    assert there.machines(msgspec.structs.replace(spark, engine="tensorflow")) == 3
    assert there.creates(spark) == (
        "up to 4 VMs (driver of 1 core and 1.5 GiB, 3 workers of 2 cores and 4.5 GiB), linked"
        " clones of 'golden' (its current snapshot), in the resource pool"
        " benchcast-<session>.<cluster> (cpu shares low; memory at most 8192 MiB) on DC1/C1 of"
        " vCenter vc.dc1.example, one cluster at a time"
    )


@pytest.mark.parametrize("key", ["ca", "ssh.key"])
def test_a_file_that_is_not_there_is_said_before_anything_is_cloned(
    key: str, tmp_path: Path
) -> None:
    pytest.importorskip("pyVmomi", reason="pip install 'benchcast[vsphere]'")
    pytest.importorskip("asyncssh", reason="pip install 'benchcast[ssh]'")
    there = tmp_path / "there"
    there.touch()
    for path in (there, tmp_path / "gone", tmp_path, "~nobody-of-this-name/key"):
        said = {"ca": str(path)} if key == "ca" else {"ssh": {"key": str(path)}}
        spec = EnvironmentSpec(name="dc1", kind="vsphere", settings={**SETTINGS, **said})
        if path == there:
            environments.build(spec)
            continue
        with pytest.raises(
            UnsuitableEnvironment, match=f"^{key} = .*cannot be read: .*; name another file"
        ):
            environments.build(spec)


def test_cleanup_goes_on_after_a_finished_session_on_a_vcenter(work: Path) -> None:
    pytest.importorskip("pyVmomi", reason="pip install 'benchcast[vsphere]'")
    pytest.importorskip("asyncssh", reason="pip install 'benchcast[ssh]'")
    benchcast("run", str(write(work, workers=[1], repeats=1)))
    (file,) = Path("results/fake").glob("*.jsonl")
    head, *rest = file.read_text().splitlines()
    session = json.loads(head)
    spec = {"name": "dc1", "kind": "vsphere", "settings": SETTINGS}  # without user and password
    session["study"]["environments"].append(spec)
    file.write_text("\n".join([json.dumps(session), *rest, ""]))
    done = benchcast("cleanup")
    assert (done.returncode, "nothing was left behind" in done.stdout) == (0, True)
    assert "user and password are missing" in done.stderr


def test_a_vcenter_is_a_host_and_maybe_a_port() -> None:
    assert host_and_port("vc.example.org") == ("vc.example.org", 443)
    assert host_and_port("10.0.0.1:8443") == ("10.0.0.1", 8443)
    assert host_and_port("[fd00::1]:8443") == ("[fd00::1]", 8443)
    assert host_and_port("[fd00::1]") == ("[fd00::1]", 443)


@pytest.mark.parametrize(
    ("met", "recipe", "shapes", "scope", "said"),
    [
        ({"hosts": ()}, {}, [ONE], "study", "no connected host"),
        ({"networks": ("lan",)}, {}, [ONE], "study", "lacks the template's network lan"),
        ({"instant": False}, {"clone": "instant"}, [ONE], "study", "no instant clones"),
        ({}, {"clone": "instant"}, [ONE], "study", "is not powered on"),
        ({"running": True}, {"clone": "instant"}, [ONE], "cell", "template's 1 cores and 1 GiB"),
        (
            {},
            {"pool": Pool(cpu=Allocation(reservation=2000))},
            [ONE],
            "study",
            "pool.cpu.reservation = 2000 MHz: 1000 MHz are left",
        ),
        ({}, {}, [ON_GPU], "cell", "no host of the cluster 'C1' offers it"),
        (
            {"hosts": (WITH_GPUS,), "running": True},
            {"clone": "instant"},
            [ON_GPU],
            "cell",
            "gets no GPU of its own",
        ),
        ({}, {}, [Shape(cores=17)], "cell", "the largest host has 16 threads"),
        ({}, {}, [Shape(memory=33 * GIB)], "cell", "the largest host has 32 GiB"),
        ({}, {"anti_affinity": True}, [ONE] * 3, "cell", "3 VMs on 2 hosts"),
        ({}, {}, [ONE] * 9, "warning", "overcommitted: 18 vCPUs on hosts of 16 cores"),
        (
            {},
            {"pool": Pool(memory=Allocation(limit=4096))},
            [ONE] * 2,
            "warning",
            "2 VMs ask for 8 GiB; pool.memory.limit is 4 GiB",
        ),
        (
            {},
            {"pool": Pool(cpu=Allocation(limit=7999))},
            [ONE] * 2,
            "warning",
            "2 VMs can use 8000 MHz; pool.cpu.limit is 7999 MHz",
        ),
    ],
)
def test_what_stands_against_clones_is_found(
    met: dict[str, object], recipe: dict[str, object], shapes: list[Shape], scope: str, said: str
) -> None:
    found = checks.check(
        msgspec.structs.replace(MET, **met), msgspec.structs.replace(RECIPE, **recipe), shapes
    )
    (one,) = [finding for finding in found if said in finding.what]
    assert scope in (one.severity, one.scope)


def test_nothing_stands_against_what_fits() -> None:
    none: list[Finding] = []
    assert checks.check(MET, RECIPE, [ONE] * 8) == none
    offering = msgspec.structs.replace(MET, hosts=(HOST, WITH_GPUS))
    assert checks.check(offering, RECIPE, [ON_GPU]) == none
    assert describe_limits(RECIPE) == "no limits"
