"""Whole campaigns over SSH on the lab's hosts: the same model everywhere, limits, kill -9."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bench.hosts.agent import processes
from bench.records.cluster import Owner
from tests.analysis.factory import analysis_of
from tests.conftest import absent
from tests.labs.hosts import lab, missing
from tests.labs.ssh_hosts import SshHosts

pytest.importorskip("asyncssh", reason="pip install 'benchcast[ssh]'")
pytestmark = [pytest.mark.lab, pytest.mark.real, pytest.mark.alone, pytest.mark.timeout(600)]

SEED = 20261121
KILLS = 20
STUDY = """
title   = "a rack"
workers = {workers}
repeats = 1
retries = 2
timeout = "5 min"
[dataset.small]
generator = "spark-perf"
rows      = 4096
features  = 12
seed      = 5
[[workload]]
use     = [{use}]
dataset = "small"
"""
SPARK, TENSORFLOW = '"spark-logistic-regression"', '"tensorflow-logistic-regression"'
STRANGER = Owner(study="theirs", session="20260101T000000-others", cluster="c1")


@pytest.fixture(autouse=True)
def _possible() -> None:
    reason = missing()
    if reason:
        absent(f"the lab's hosts ({reason})", "make lab")


@contextlib.contextmanager
def ssh_lab(folder: Path, count: int, cores: float | None = None) -> Iterator[SshHosts]:
    with lab(count, cores=cores) as hosts:
        yield SshHosts(folder=folder, hosts=hosts)


def test_one_to_three_hosts_find_the_same_model(work: Path) -> None:
    with ssh_lab(work, 3) as lab_hosts:
        study = lab_hosts.study(STUDY.format(workers=[1, 2, 3], use=f"{SPARK}, {TENSORFLOW}"))
        code, _, errors = lab_hosts.benchcast("run", str(study), timeout=550)
        assert code == 0, errors
        read = lab_hosts.read
        assert [run.status for run in read.runs] == ["ok"] * 6
        assert {run.workers_seen for run in read.runs} == {1, 2, 3}
        assert lab_hosts.left() == []
        text = "".join(path.read_text() for path in lab_hosts.store.root.glob("*.jsonl"))
        for private in (str(lab_hosts.hosts[0].key), str(lab_hosts.hosts[0].known_hosts), '"user"'):
            assert private not in text
    limits = {bundle.task: bundle.quality for bundle in read.bundles.values()}
    made = analysis_of(list(read.sessions.values()), [], read.runs, cases=read.cases, limits=limits)
    assert made.comparison.verdicts
    assert [verdict.reasons for verdict in made.comparison.verdicts if not verdict.comparable] == []


def test_a_cpu_limit_holds_inside_a_host(work: Path) -> None:
    with ssh_lab(work, 1) as lab_hosts:
        limited = {"cores": 1, "memory": "1 GiB", "cpu_limit": 0.5}
        study = lab_hosts.quickly(1, burn=1.5, worker=limited)
        code, _, errors = lab_hosts.benchcast("run", str(study))
        assert code == 0, errors
        (run,) = lab_hosts.read.runs
        assert run.worker_cpu is not None
        assert run.worker_cpu >= 1.5
        assert run.worker_cpu <= 0.55 * (run.phases["launch"] + run.phases["work"]) + 0.2
        assert lab_hosts.left() == []


@contextlib.contextmanager
def strangers(lab_hosts: SshHosts) -> Iterator[None]:
    """Let others' things be on the hosts: processes, marked and not, a folder, a control group."""
    host = lab_hosts.hosts[0]
    folder = host.home / ".cache" / "benchcast" / "work" / STRANGER.tag
    folder.mkdir(parents=True)
    (folder / "owner.json").write_bytes(msgspec.json.encode(STRANGER))
    group = host.groups[0] / f"benchcast.{STRANGER.tag}.0"
    group.mkdir()
    tag = f"{STRANGER.study}/{STRANGER.session}/{STRANGER.cluster}"
    others = [
        subprocess.Popen(["sleep", "600"], env={**os.environ, **env}, start_new_session=True)
        for env in ({}, {processes.OWNER: tag})
    ]
    try:
        yield
        assert [one.poll() for one in others] == [None, None]
        assert group.is_dir()
        assert folder.is_dir()
    finally:
        for one in others:
            one.kill()
            one.wait()


def test_killed_at_random_moments_cleanup_leaves_nothing_and_touches_nobody(work: Path) -> None:
    with ssh_lab(work, 3) as lab_hosts, strangers(lab_hosts):
        study = lab_hosts.quickly([1, 3], seconds=0.3)
        theirs = lab_hosts.left(STRANGER.session)
        assert len(theirs) == 3
        killed, _ = lab_hosts.kills(
            study, lambda: lab_hosts.left(STRANGER.session), times=KILLS, seed=SEED
        )
        assert killed > KILLS // 2
        code, _, errors = lab_hosts.benchcast("run", str(study), "--new")
        assert code == 0, errors
        read = lab_hosts.read
        assert [run.status for run in read.runs[-2:]] == ["ok"] * 2
        assert len(read.sessions) == KILLS + 2
        assert lab_hosts.left(STRANGER.session) == theirs


def test_spark_that_is_killed_in_mid_run_leaves_nothing(work: Path) -> None:
    with ssh_lab(work, 2) as lab_hosts:
        study = lab_hosts.study(STUDY.format(workers=2, use=SPARK))
        with lab_hosts.popen("run", str(study)) as running:
            lab_hosts.wait(lambda: any(lab_hosts.folders("*/*/*/driver.log.pid")), 120)
            running.send_signal(signal.SIGKILL)
        assert lab_hosts.left() != []
        code, _, errors = lab_hosts.benchcast("cleanup", str(study))
        assert code == 0, errors
        assert lab_hosts.left() == []
