"""Lanes: this machine beside hosts over SSH, at the same time, in one campaign."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.records.results import Run
from tests.conftest import absent
from tests.labs.hosts import lab, missing
from tests.labs.ssh_hosts import NAME, QUICK, SshHosts

pytest.importorskip("asyncssh", reason="pip install 'benchcast[ssh]'")
pytestmark = [pytest.mark.lab, pytest.mark.alone, pytest.mark.timeout(600)]

KILLS = 4
SEED = 20261124
HERE = 'name = "here"\nkind = "local"\nworker = { cores = 1, memory = "1 GiB" }\n'


@pytest.fixture(autouse=True)
def _possible() -> None:
    reason = missing()
    if reason:
        absent(f"the lab's hosts ({reason})", "make lab")


def study_of(lab_hosts: SshHosts, seconds: float, top: str = "") -> Path:
    """Write a study of the quick workload over this machine and the lab's hosts."""
    lab_hosts.quick()
    quick = QUICK.format(workers=[1, 2], repeats=2, retries=1, seconds=seconds, burn=0.0)
    return lab_hosts.study(f"{top}\n{quick}\n[[environment]]\n{HERE}")


def spans(runs: list[Run], environment: str) -> list[tuple[float, float]]:
    """Return from when to when the work of an environment's runs went on, at least."""
    chosen = [run for run in runs if run.cell.environment == environment]
    starts = [(run.started_at.timestamp(), run) for run in chosen]
    return [(start, start + sum(run.phases.values())) for start, run in starts]


def overlap(runs: list[Run]) -> bool:
    """Return whether a run here and one on the hosts went on at the same time."""
    return any(
        begin < other_end and other_begin < end
        for begin, end in spans(runs, "here")
        for other_begin, other_end in spans(runs, NAME)
    )


@pytest.mark.parametrize("parallel", [True, False])
def test_this_machine_and_hosts_over_ssh_overlap_in_time(work: Path, parallel: bool) -> None:
    with lab(2) as hosts:
        lab_hosts = SshHosts(folder=work, hosts=hosts)
        study = study_of(lab_hosts, 2.0, "" if parallel else "parallel = false")
        code, _, errors = lab_hosts.benchcast("run", str(study))
        assert code == 0, errors
        runs = list(lab_hosts.read.runs)
        assert [run.status for run in runs] == ["ok"] * 8
        assert len(spans(runs, "here")) == len(spans(runs, NAME)) == 4
        assert overlap(runs) is parallel
        assert len(lab_hosts.read.sessions) == 1
        assert lab_hosts.left() == []


def test_killed_at_random_moments_both_are_clean_and_nothing_is_lost(work: Path) -> None:
    with lab(2) as hosts:
        lab_hosts = SshHosts(folder=work, hosts=hosts)
        study = study_of(lab_hosts, 0.3)
        killed, _ = lab_hosts.kills(study, lab_hosts.left, times=KILLS, seed=SEED)
        assert killed > 0
        finished = {run.run for run in lab_hosts.read.runs if run.status == "ok"}
        code, _, errors = lab_hosts.benchcast("run", str(study), "--retry-failed")
        assert code == 0, errors
        assert finished <= {run.run for run in lab_hosts.read.runs if run.status == "ok"}
        assert lab_hosts.left() == []
