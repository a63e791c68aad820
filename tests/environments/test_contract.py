"""One test body over all environments: what contracts.py promises, each kind must keep."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from bench import environments
from bench.contracts import Adaptable, Environment, OwnedResource
from bench.records.cluster import ClusterSpec, Job, Owner
from bench.records.study import Dataset, EnvironmentSpec, Shape
from bench.run_files import workload_log
from tests.conftest import absent
from tests.hosts import sshd
from tests.labs import clones, hosts, vcenter

COMMON = Path(__file__).parents[2] / "workloads" / "_common"
OWNER = Owner(study="contract", session="260101-000000000-c0de", cluster="c1")
MAIN = """
import json, os, time
from _common.emitter import Report
report = Report.read()
{workers}
report.ready(workers=workers)
for number in report.passes():
    with report.stage("train"):
        time.sleep(report.params["seconds"])
report.quality(objective=0.5)
report.end()
"""
WORKERS = {
    "spark": """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
workers = len(spark.sparkContext._jsc.sc().statusTracker().getExecutorInfos()) - 1
""",
    "tensorflow": "workers = len(json.loads(os.environ['TF_CONFIG'])['cluster']['worker'])",
}


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """An environment under test; ``settings`` of runs that end, and of runs that take long."""

    kind: str
    engine: str
    settings: Mapping[str, object] = {}
    slow: Mapping[str, object] = {}


KINDS = [
    pytest.param(
        Kind(kind="fake", engine="spark", slow={"sleep": 600.0}), id="fake", marks=pytest.mark.alone
    ),
    pytest.param(
        Kind(kind="local", engine="tensorflow"), id="local-tensorflow", marks=pytest.mark.alone
    ),
    pytest.param(
        Kind(kind="local", engine="spark"),
        id="local-spark",
        marks=[pytest.mark.real, pytest.mark.timeout(600)],
    ),
    pytest.param(
        Kind(kind="ssh", engine="tensorflow"), id="ssh-tensorflow", marks=pytest.mark.alone
    ),
    pytest.param(
        Kind(kind="ssh", engine="spark"),
        id="ssh-spark",
        marks=[pytest.mark.real, pytest.mark.timeout(600)],
    ),
    pytest.param(
        Kind(kind="vsphere", engine="tensorflow"),
        id="vsphere-tensorflow",
        marks=[pytest.mark.lab, pytest.mark.alone],
    ),
]


class ContractCase:
    """A kind, its environment and a folder to work in."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind = kind
        self.folder = folder

    def place(self, settings: Mapping[str, object] | None = None) -> Environment:
        """A new environment of the kind: also how another session would see it."""
        known = self.kind.settings if settings is None else settings
        return environments.build(
            EnvironmentSpec(name="here", kind=self.kind.kind, settings=dict(known))
        )

    def left(self) -> list[OwnedResource]:
        """What carries the test's mark: other campaigns on this machine are not its business."""
        return [left for left in self.place().owned() if left.owner == OWNER]

    def out(self, run: str) -> Path:
        """A folder to collect into."""
        folder = self.folder / run
        folder.mkdir()
        return folder

    def need(self, workers: int, *, memory: int = 1 << 30) -> ClusterSpec:
        return ClusterSpec(
            engine=self.kind.engine,
            workers=workers,
            worker=Shape(memory=memory),
            driver=Shape(),
        )

    def job(self, run: str, workers: int, seconds: float = 0.0) -> Job:
        main = self.folder / "main.py"
        main.write_text(MAIN.format(workers=WORKERS[self.kind.engine]))
        return Job(
            run=run,
            engine=self.kind.engine,
            entry="main.py",
            bundle={
                "main.py": str(main),
                **{
                    f"_common/{one}.py": str(COMMON / f"{one}.py") for one in ("emitter", "quality")
                },
            },
            params={"seconds": seconds},
            datasets={"train": Dataset(name="none")},
            workers=workers,
            passes=1,
            stages="fused",
            timeout=300,
        )


@pytest.fixture(params=KINDS)
def bed(request: pytest.FixtureRequest, work: Path) -> Iterator[ContractCase]:
    """Every kind in turn; whatever a test did, nothing is left of it."""
    kind = request.param
    with contextlib.ExitStack() as stack:
        if kind.kind == "ssh":
            pytest.importorskip("asyncssh", reason="pip install 'benchcast[ssh]'")
            server = stack.enter_context(sshd.running(work / "sshd"))
            kind = msgspec.structs.replace(kind, settings=server.settings())
        if kind.kind == "vsphere":
            pytest.importorskip("pyVmomi", reason="pip install 'benchcast[vsphere]'")
            if reason := vcenter.missing() or hosts.missing():
                absent(f"the lab ({reason})", "make lab")
            place = stack.enter_context(clones.site(work))
            kind = msgspec.structs.replace(kind, settings=place.settings())
        made = ContractCase(kind, work)
        yield made
        assert [left.text for left in made.left()] == []


def test_identity_is_text_and_does_not_change(bed: ContractCase) -> None:
    spec = EnvironmentSpec(name="here", kind=bed.kind.kind)
    one, other = environments.identity(spec), environments.identity(spec)
    assert dict(one) == dict(other)
    assert all(isinstance(value, str) for value in one.values())


def test_check_finds_nothing_against_a_small_need_and_all_against_a_huge_one(
    bed: ContractCase,
) -> None:
    small = bed.place().check(bed.need(1))
    assert [finding for finding in small if finding.severity == "error"] == []
    huge = bed.place().check(bed.need(10_000, memory=1 << 40))
    assert any(finding.severity == "error" and finding.scope == "cell" for finding in huge)


def test_runs_end_ok_before_and_after_adapting(bed: ContractCase) -> None:
    with bed.place().open(bed.need(1), OWNER) as cluster:
        assert bed.left()
        for workers in (1, 2):
            if workers == 2:
                assert isinstance(cluster, Adaptable)
                cluster.adapt(bed.need(2))
            assert {use.machine for use in cluster.facts.uses} <= set(cluster.facts.machines)
            assert "worker" in {use.role for use in cluster.facts.uses}
            running = cluster.submit(bed.job(f"run{workers}", workers))
            assert running.wait(240)
            outcome = running.collect(bed.out(f"run{workers}"))
            assert (outcome.status, outcome.reason, outcome.missing) == ("ok", "", ())
            log = workload_log.read(outcome.logs[0], f"run{workers}")
            assert (log.fault, log.workers) == ("", workers)
            assert log.work is not None
            assert outcome.seconds >= log.work
            assert set(outcome.machines) <= set(cluster.facts.machines)
    cluster.close()


def test_a_cancelled_run_is_over_and_still_collected(bed: ContractCase) -> None:
    with bed.place(bed.kind.slow or None).open(bed.need(1), OWNER) as cluster:
        running = cluster.submit(bed.job("long", 1, seconds=600.0))
        assert not running.wait(0.5)
        running.cancel()
        running.cancel()
        assert running.wait(60)
        assert running.collect(bed.out("long")).status == "failed"


def test_what_another_session_left_is_found_by_its_mark_and_removed(bed: ContractCase) -> None:
    cluster = bed.place().open(bed.need(1), OWNER)
    try:
        assert bed.left()
        for left in bed.left():
            assert left.text
            left.remove()
        assert bed.left() == []
    finally:
        cluster.close()
