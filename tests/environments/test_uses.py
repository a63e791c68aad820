"""What a cluster says of the machines that it held: each once, also those given back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.environments.host_environment import HostCluster
from bench.records.cluster import ClusterSpec, Owner
from bench.records.results import Machine
from bench.records.study import Shape

OWNER = Owner(study="t", session="260101-000000000-00aa", cluster="c1")


class CreatedHost:
    """A host on a created machine."""

    def __init__(self, address: str, made: float) -> None:
        self.address, self.provision_seconds = address, made

    def machine(self) -> Machine:
        return Machine(digest="a" * 64, cpu_model="c", cores=1, memory=1 << 30, os="l")

    def limit(self, shape: Shape) -> None:
        pass


class Provider:
    """Keeps as many workers as fit, with a driver beside the first; addresses are used again."""

    def __init__(self) -> None:
        self.made = 0.0

    def scale(
        self, hosts: Sequence[CreatedHost], need: ClusterSpec, owner: Owner
    ) -> list[CreatedHost]:
        workers = list(hosts[1:]) if need.worker.cores == 1 else []
        workers = workers[: need.workers]
        while len(workers) < need.workers:
            self.made += 1
            workers.append(CreatedHost(f"10.0.0.{len(workers)}", self.made))
        return [CreatedHost(workers[0].address, workers[0].provision_seconds), *workers]

    def sources(self, hosts: Sequence[CreatedHost]) -> Sequence[Any]:
        return []

    def release(self, hosts: Sequence[CreatedHost]) -> None:
        pass

    def owned(self) -> Sequence[Any]:
        return []

    def close(self) -> None:
        pass


class Engine:
    """Nothing is launched."""

    def launch(self, *_: Any) -> Any:
        return self

    def close(self) -> None:
        pass


def need(workers: int, cores: int = 1) -> ClusterSpec:
    return ClusterSpec(engine="e", workers=workers, worker=Shape(cores=cores), driver=Shape())


def test_the_closed_cluster_has_every_machine_that_it_held_once() -> None:
    cluster = HostCluster(Provider(), {"e": Engine()}, need(3), OWNER)  # type: ignore[arg-type, dict-item]
    told = []
    for wanted in (need(1), need(2), need(2, cores=2)):
        cluster.adapt(wanted)
        told.append([use.provision_seconds for use in cluster.facts.uses])
    assert told == [[1.0], [1.0, 4.0], [5.0, 6.0]]
    for _ in range(2):
        cluster.close()
    uses = cluster.facts.uses
    assert sorted(use.provision_seconds or 0 for use in uses) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert {use.role for use in uses} == {"worker"}
