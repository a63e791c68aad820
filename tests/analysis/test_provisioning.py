"""How long machines took to be made: by environment and kind of clone."""

from __future__ import annotations

from bench.analysis.runs.provisioning import provision_times
from bench.analysis.runs.types import ProvisionTimes
from bench.records.results import ClusterEvent, Machine, MachineUse
from bench.report.sections.provisioning import provision_sentence
from tests.analysis import factory


def machine(digest: str, **under: str) -> Machine:
    return Machine(digest=digest, cpu_model="c", cores=1, memory=1 << 30, os="l", hypervisor=under)


def line(environment: str, *uses: tuple[str, float | None]) -> ClusterEvent:
    machines = tuple(
        MachineUse(machine=digest, role="worker", seconds=60.0, provision_seconds=seconds)
        for digest, seconds in uses
    )
    return ClusterEvent(
        cluster="c", environment=environment, event="closed", at=factory.BEGUN, machines=machines
    )


def test_machines_are_told_by_environment_and_kind() -> None:
    known = {"a" * 64: machine("a" * 64, clone="linked"), "b" * 64: machine("b" * 64)}
    lives = [
        line("dc0", ("a" * 64, 4.0), ("a" * 64, 1.0), ("b" * 64, None)),
        line("dc0", ("a" * 64, 2.0)),
        line("cloud", ("b" * 64, 30.0)),
        line("rack", ("b" * 64, None)),
    ]
    cloud, dc0 = provision_times(lives, known)
    assert dc0 == ProvisionTimes(environment="dc0", kind="linked", count=3, median=2.0, longest=4.0)
    assert provision_sentence(dc0) == (
        "dc0, to provision: 3 machines, linked clones, 2 s each (median), 4 s at most."
    )
    assert provision_sentence(cloud) == (
        "cloud, to provision: 1 machine, made, 30 s each (median), 30 s at most."
    )
