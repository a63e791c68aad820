"""Hosts of the lab that fail before and in the middle of whole runs: named, replaced, cleaned."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy
import pytest

from bench.cli import app
from bench.engines.tensorflow.engine import TensorFlowEngine
from bench.hosts import python_env
from tests.conftest import absent
from tests.hosts import packages
from tests.labs.hosts import LabHost, lab, missing
from tests.labs.ssh_hosts import SshHosts

pytest.importorskip("asyncssh", reason="pip install 'benchcast[ssh]'")
pytestmark = [pytest.mark.lab, pytest.mark.alone, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def _possible() -> None:
    reason = missing()
    if reason:
        absent(f"the lab's hosts ({reason})", "make lab")


FAULTS = {
    "hang": (LabHost.hang, "does not answer within 3 s"),
    "refuse": (LabHost.refuse, "refuses the key"),
    "kill": (LabHost.kill, "does not answer within 3 s|cannot be reached: No route to host"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_host_that_fails_before_is_named_and_a_spare_takes_its_place(
    work: Path, fault: str
) -> None:
    act, said = FAULTS[fault]
    with lab(3) as hosts:
        lab_hosts = SshHosts(folder=work, hosts=hosts)
        act(hosts[1])
        code, _, errors = lab_hosts.benchcast("run", str(lab_hosts.quickly([1, 2])))
        assert code == 0, errors
        assert _named(errors, hosts[1], said), errors
        assert [run.status for run in lab_hosts.read.runs] == ["ok", "ok"]
        code, _, errors = lab_hosts.benchcast("run", str(lab_hosts.quickly([1, 3])), "--new")
        assert code in (0, 3), errors
        runs = {run.workers_wanted: run for run in lab_hosts.read.runs[2:]}
        assert runs[1].status == "ok"
        assert runs[3].status == "skipped"
        assert "2 hosts can be used" in runs[3].reason
        hosts[1].resume()
        assert lab_hosts.left() == []


def _named(text: str, host: LabHost, said: str) -> bool:
    found = re.search(rf"host {re.escape(host.address)}:? (?:{said})", " ".join(text.split()))
    return found is not None


@pytest.mark.parametrize("fault", ["hang", "kill"])
def test_a_host_that_fails_in_mid_run_is_named_and_nothing_else_is_lost(
    work: Path, fault: str
) -> None:
    act, _ = FAULTS[fault]
    with lab(2) as hosts:
        lab_hosts = SshHosts(folder=work, hosts=hosts)
        study = lab_hosts.quickly(2, seconds=30.0, repeats=2, spares=0)
        code, errors = lab_hosts.during(study, lambda: act(hosts[1]))
        assert code == 3, errors
        runs = lab_hosts.read.runs
        assert [run.status for run in runs] == ["failed", "failed"]
        for run in runs:
            assert f"host {hosts[1].address}" in run.reason
        assert not [text for text in lab_hosts.left() if hosts[0].name in text]
        hosts[1].resume()
        code, _, errors = lab_hosts.benchcast("cleanup", str(study))
        assert code == 0, errors
        if fault == "hang":
            assert lab_hosts.left() == []


@pytest.mark.parametrize("fault", ["hang", "kill"])
def test_a_host_that_fails_in_mid_run_is_replaced_by_a_spare(work: Path, fault: str) -> None:
    act, _ = FAULTS[fault]
    with lab(3) as hosts:
        lab_hosts = SshHosts(folder=work, hosts=hosts)
        study = lab_hosts.quickly(2, seconds=3.0, repeats=2, retries=1)
        code, errors = lab_hosts.during(study, lambda: act(hosts[1]))
        assert code == 0, errors
        runs = lab_hosts.read.runs
        assert [run.status for run in runs] == ["failed", "ok", "ok"]
        assert f"host {hosts[1].address}" in runs[0].reason
        hosts[1].resume()
        assert lab_hosts.benchcast("cleanup", str(study))[0] == 0
        assert not [
            text for text in lab_hosts.left() if fault == "hang" or hosts[1].name not in text
        ]


def _on_its_own_disk(host: LabHost) -> None:
    """Let a host's marked folders and cache lie on the file system that ``fill`` fills."""
    (host.home / ".cache").symlink_to(host.work)


def test_a_full_disk_is_named_before_and_in_mid_run(work: Path) -> None:
    with lab(2, disk_mb=300) as hosts:
        lab_hosts = SshHosts(folder=work, hosts=hosts)
        _on_its_own_disk(hosts[1])
        study = lab_hosts.quickly(2, seconds=2.0, spares=0)
        code, errors = lab_hosts.during(study, hosts[1].fill)
        assert code == 3, errors
        (run,) = lab_hosts.read.runs
        assert run.status == "failed"
        assert hosts[1].address in run.reason
        assert "No space left" in run.reason
        assert lab_hosts.left() == []
        code, _, errors = lab_hosts.benchcast("run", str(study), "--new")
        assert code == 3, errors
        assert f"host {hosts[1].address}: its folder .cache/benchcast cannot be used" in errors
        (hosts[1].work / "full").unlink()
        code, _, errors = lab_hosts.benchcast("run", str(study), "--new")
        assert code == 0, errors
        assert lab_hosts.left() == []


def test_a_run_where_uv_built_the_environment_and_a_spare_was_needed(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lab(3) as hosts:
        told = hosts[0].ssh("python3 -c 'import sys; print(*sys.version_info[:2])'").stdout
        if told.split() != [str(part) for part in sys.version_info[:2]]:
            pytest.skip(f"python3 of this machine is {told}: run the tests by the same version")
        ours = Path(numpy.__file__).parents[1]  # the workload's own needs
        lab_hosts = SshHosts(folder=work, hosts=hosts)
        near = f"{hosts[0].address.rpartition('.')[0]}.254"  # this machine, as the hosts see it
        with packages.serving(work / "index", near, ours) as (url, lock):
            monkeypatch.setattr(python_env, "lock_text", lambda: lock)
            monkeypatch.setattr(TensorFlowEngine, "lock_roots", ("thing",))
            python_env.requirements.cache_clear()
            for host, index in zip(hosts, ("http://127.0.0.1:9", url, url), strict=True):
                packages.use(host.home, index)
            study = lab_hosts.quickly([2], python=None)
            assert not app.app(["run", str(study)], standalone_mode=False)
        python_env.requirements.cache_clear()
        (run,) = lab_hosts.read.runs
        assert run.status == "ok"
        built = [
            len(list(host.home.glob(".cache/benchcast/cache/python-*/.ready"))) for host in hosts
        ]
        assert built == [0, 1, 1]
        assert lab_hosts.left() == []
