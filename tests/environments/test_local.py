"""The local environment: what it checks, and that it undoes what did not come up."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from bench import environments
from bench.contracts import (
    Capacity,
    Cluster,
    Engine,
    Environment,
    Execution,
    Facts,
    Finding,
    Host,
    OwnedResource,
)
from bench.environments.host_environment import HostEnvironment, capacity_findings
from bench.environments.local.environment import LocalEnvironment
from bench.environments.local.provider import LocalProvider
from bench.errors import LaunchFailed, StudyError
from bench.hosts.agent.main import GPU_FILES
from bench.records.cluster import ClusterSpec, Job, Owner
from bench.records.study import EnvironmentSpec, Shape
from tests.hosts.providers import NoQuotas
from tests.jobs import job

# Marked processes are looked for on the whole machine: these tests would see each other's.
pytestmark = pytest.mark.alone

GIB = 1 << 30
OWNER = Owner(study="s", session="20260101T000000-000000", cluster="c1")
JOB = job("tiny")


def mine(place: Environment) -> list[OwnedResource]:
    """What carries these tests' mark: other campaigns on this machine are not their business."""
    return [left for left in place.owned() if left.owner == OWNER]


class TinyCluster(Cluster):
    """An engine's cluster of nothing."""

    def __init__(self, workers: int) -> None:
        self.facts = Facts()
        self.workers = workers
        self.closed = 0

    def submit(self, job: Job) -> Execution:
        raise NotImplementedError

    def close(self) -> None:
        self.closed += 1


class TinyEngine(Engine):
    """Launches nothing; fails when told."""

    name = "tiny"

    def __init__(self) -> None:
        self.fail = False
        self.launched: list[TinyCluster] = []

    def check(self, spec: ClusterSpec) -> Sequence[Finding]:
        return []

    def launch(self, driver: Host, workers: Sequence[Host], spec: ClusterSpec) -> Cluster:
        if self.fail:
            raise LaunchFailed("told to fail")
        for host in (driver, *workers):
            host.spawn("sleep", ["sleep", "60"], {})
        self.launched.append(TinyCluster(len(workers)))
        return self.launched[-1]


@pytest.fixture
def engine() -> TinyEngine:
    """An engine of nothing."""
    return TinyEngine()


@pytest.fixture
def place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: TinyEngine
) -> Iterator[HostEnvironment]:
    """Local hosts in a folder of their own."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = HostEnvironment(LocalProvider(NoQuotas()), {"tiny": engine})
    yield made
    made.close()


def need(workers: int = 1, *, memory: int = GIB, limit: float | None = None) -> ClusterSpec:
    """A need for the tiny engine."""
    worker = Shape(memory=memory, cpu_limit=limit)
    return ClusterSpec(engine="tiny", workers=workers, worker=worker, driver=Shape())


def test_kinds_and_their_settings() -> None:
    assert set(environments.kinds()) >= {"local", "fake"}
    local = environments.build(EnvironmentSpec(name="here", kind="local"))
    assert isinstance(local, LocalEnvironment)
    facts = environments.identity(EnvironmentSpec(name="here", kind="local"))
    assert set(facts) == {"cpu_model", "cores", "memory"}
    with pytest.raises(StudyError, match="did you mean 'local'"):
        environments.build(EnvironmentSpec(name="here", kind="locl"))
    with pytest.raises(msgspec.ValidationError, match="nope"):
        environments.build(EnvironmentSpec(name="here", kind="local", settings={"nope": 1}))


def test_open_adapt_close(place: HostEnvironment, engine: TinyEngine) -> None:
    cluster = place.open(need(1), OWNER)
    assert set(cluster.facts.phases) == {"provision", "launch"}
    assert len(cluster.facts.machines) == len(cluster.facts.uses) == 1
    assert len(cluster.sources()) == (2 if any(map(os.path.exists, GPU_FILES)) else 1)
    cluster.adapt(need(3))  # type: ignore[attr-defined]
    assert [c.closed for c in engine.launched] == [1, 0]
    assert engine.launched[1].workers == 3
    cluster.adapt(need(1))  # type: ignore[attr-defined]
    assert engine.launched[2].workers == 1
    (left,) = mine(place)
    said = left.text
    cluster.close()
    assert said == f"6 processes, 1 folder of study s, session {OWNER.session} on this machine"
    cluster.close()
    assert set(cluster.facts.phases) == {"teardown"}
    assert cluster.facts.uses[0].seconds > 0
    assert mine(place) == []
    with pytest.raises(RuntimeError, match="closed"):
        cluster.submit(JOB)


def test_what_did_not_come_up_is_undone(place: HostEnvironment, engine: TinyEngine) -> None:
    engine.fail = True
    with pytest.raises(LaunchFailed, match="told to fail"):
        place.open(need(2), OWNER)
    assert mine(place) == []
    with pytest.raises(LaunchFailed, match="cpu_limit"):
        place.open(need(2, limit=0.5), OWNER)
    assert mine(place) == []
    engine.fail = False
    cluster = place.open(need(1), OWNER)
    engine.fail = True
    with pytest.raises(LaunchFailed, match="told to fail"):
        cluster.adapt(need(2))  # type: ignore[attr-defined]
    assert mine(place) == []


def test_another_engine_is_a_finding_of_the_cell(place: HostEnvironment) -> None:
    other = ClusterSpec(engine="flink", workers=1, worker=Shape(), driver=Shape())
    (finding,) = place.check(other)
    assert (finding.severity, finding.scope) == ("error", "cell")
    assert str(finding) == "the engine 'flink' does not run here; engines here: tiny"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (need(2), []),
        (need(8, memory=2 * GIB), ["error", "warning"]),
        (need(2, memory=5 * GIB), ["warning"]),
        (need(4), ["warning"]),
        (need(4, limit=0.5), []),
        (need(4, limit=0.75), ["warning"]),
    ],
)
def test_capacity(wanted: ClusterSpec, said: list[str]) -> None:
    capacity = Capacity(cores=2, memory=16 * GIB, available=10 * GIB)
    assert [finding.severity for finding in capacity_findings(capacity, wanted)] == said


def test_what_it_says_of_too_much() -> None:
    capacity = Capacity(cores=2, memory=4 * GIB, available=4 * GIB)
    memory, cores = capacity_findings(capacity, need(4))
    assert str(memory) == (
        "4 workers and the driver need 5.0 GiB; this machine has 4.0 GiB;"
        " use fewer workers or less memory for each"
    )
    assert cores.what == "oversubscribed: 4 workers want 4 cores of 2"
