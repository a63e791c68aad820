"""Hosts on this machine: processes, ports, files, CPU time, and what a killed harness leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.contracts import Host
from bench.errors import LaunchFailed
from bench.hosts import facts, processes
from bench.hosts.cgroups import Cgroups
from bench.hosts.local import LocalHost, LocalProvider
from bench.records.cluster import Owner
from bench.records.results import Machine
from bench.records.study import Shape

# Marked processes are looked for on the whole machine: these tests would see each other's.
pytestmark = pytest.mark.alone

OWNER = Owner(study="a study", session="20260101T000000-abcdef", cluster="c1")


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalProvider:
    """A provider with a work folder of its own and no control groups."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return LocalProvider(Cgroups(tmp_path, tmp_path / "none"))


@pytest.fixture
def host(provider: LocalProvider) -> Iterator[Host]:
    """One host; released in the end."""
    hosts = provider.acquire(1, OWNER)
    yield hosts[0]
    provider.release(hosts)


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_a_process_writes_to_a_file_and_has_a_small_environment(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HARNESS", "x")
    process = host.spawn("show", ["env"], {"GIVEN": "1"})
    assert process.wait(30) == 0
    text = process.output.read_text()
    assert "GIVEN=1" in text
    assert f"TMPDIR={host.folder}/tmp" in text
    assert "BENCHCAST_OWNER=a study/20260101T000000-abcdef/c1" in text
    assert "SECRET_OF_THE_HARNESS" not in text
    again = host.spawn("show", ["sh", "-c", "exit 3"], {})
    assert again.output != process.output
    assert again.wait(30) == 3
    assert again.poll() == 3


def test_wait_returns_none_in_time_and_a_signal_is_a_negative_code(host: Host) -> None:
    process = host.spawn("sleep", ["sleep", "60"], {})
    assert process.wait(0.05) is None
    process.kill()
    process.kill()
    assert process.poll() == -signal.SIGTERM


def test_no_such_program(host: Host) -> None:
    with pytest.raises(LaunchFailed, match="no-such-program did not start"):
        host.spawn("none", ["/no-such-program"], {})


def test_kill_takes_children_that_ignore_sigterm_and_left_the_group(host: Host) -> None:
    script = "trap '' TERM; setsid sleep 61 & echo $!; sleep 62 & echo $!; wait; wait"
    process = host.spawn("group", ["sh", "-c", script], {})
    other = host.spawn("other", ["sleep", "63"], {})
    deadline = time.monotonic() + 10
    while len(process.output.read_text().split()) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    children = [int(text) for text in process.output.read_text().split()]
    assert all(alive(child) for child in children)
    process.kill()
    assert not any(alive(child) for child in children)
    assert other.poll() is None


def test_release_ends_everything_and_removes_the_marked_folder(provider: LocalProvider) -> None:
    hosts = provider.acquire(3, OWNER)
    processes_ = [host.spawn("sleep", ["sleep", "60"], {}) for host in hosts]
    marked = hosts[0].folder.parent
    provider.release(hosts[2:])
    assert marked.is_dir()
    assert [process.poll() is None for process in processes_] == [True, True, False]
    later = provider.acquire(1, OWNER)
    assert later[0].folder.name == "3"
    provider.release(hosts)
    provider.release(hosts)
    assert marked.is_dir()
    provider.release(later)
    assert not marked.exists()
    assert list(processes.scan({processes.OWNER: "a study/20260101T000000-abcdef/c1"})) == []


def test_ports_are_not_handed_out_twice(provider: LocalProvider) -> None:
    hosts = provider.acquire(2, OWNER)
    ports = [port for _ in range(20) for host in hosts for port in host.free_ports(3)]
    assert len(set(ports)) == 120
    provider.release(hosts)


def test_files_go_and_come(host: Host, tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("text")
    put = host.put(source, "run/bundle/_common/a.txt")
    assert put == host.folder / "run/bundle/_common/a.txt"
    host.get(put, tmp_path / "back" / "a.txt")
    host.get(host.folder / "run", tmp_path / "tree")
    assert (tmp_path / "back" / "a.txt").read_text() == "text"
    assert (tmp_path / "tree/bundle/_common/a.txt").read_text() == "text"
    with pytest.raises(LaunchFailed, match="leaves the host's folder"):
        host.put(source, "../outside.txt")


def test_cpu_seconds_without_a_control_group(host: Host) -> None:
    assert host.cpu_seconds() is None
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    process = host.spawn("busy", [sys.executable, "-c", busy], {})
    assert process.wait(60) == 0, process.output.read_text()
    used = host.cpu_seconds()
    assert used is not None
    assert used >= 0.3


def test_a_limit_that_cannot_be_held_is_refused(host: Host) -> None:
    host.limit(Shape())
    with pytest.raises(LaunchFailed, match=r"cpu_limit = 0\.5 cannot be held here"):
        host.limit(Shape(cpu_limit=0.5))


def test_a_limited_host_counts_its_cpu_and_leaves_no_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    groups = Cgroups()
    if (reason := groups.available()) is not None:
        pytest.skip(f"no CPU limits here: {reason}")
    provider = LocalProvider(groups)
    hosts = provider.acquire(1, OWNER)
    try:
        hosts[0].limit(Shape(cpu_limit=0.5))
        busy = "import time\nwhile time.process_time() < 0.2: pass"
        process = hosts[0].spawn("busy", [sys.executable, "-c", busy], {})
        assert process.wait(60) == 0
        used = hosts[0].cpu_seconds()
        assert used is not None
        assert used >= 0.2
        assert isinstance(hosts[0], LocalHost)
        assert hosts[0].throttled() is None
        assert any(name.startswith(f"benchcast.{OWNER.mark}") for name in groups.marked())
    finally:
        provider.release(hosts)
    assert not any(name.startswith(f"benchcast.{OWNER.mark}") for name in groups.marked())


def test_machine_facts_name_no_host() -> None:
    machine = facts.machine()
    assert isinstance(machine, Machine)
    assert machine.cores >= 1
    assert len(machine.digest) == 64
    assert os.uname().nodename not in (machine.cpu_model, machine.os)
    assert facts.capacity().available <= facts.capacity().memory


HARNESS = """
import sys, tempfile, time
tempfile.tempdir = sys.argv[1]
from bench.hosts.local import LocalProvider
from bench.records.cluster import Owner
from bench.records.study import Shape
hosts = LocalProvider().acquire(2, Owner(study="dead", session="s-dead", cluster=sys.argv[2]))
for host in hosts:
    host.limit(Shape())
    print(host.spawn("child", ["sh", "-c", "sleep 61 & sleep 62"], {}).pid, flush=True)
time.sleep(60)
"""


def test_leftovers_of_a_killed_harness_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    log = tmp_path / "pids"
    with log.open("w") as out:
        argv = [sys.executable, "-c", HARNESS, str(tmp_path), "c7"]
        harness = subprocess.Popen(argv, stdout=out, env={**os.environ, "PYTHONPATH": os.getcwd()})
    while len(log.read_text().splitlines()) < 2:
        assert harness.poll() is None
        time.sleep(0.05)
    harness.kill()
    harness.wait()
    provider = LocalProvider()
    living = Owner(study="alive", session="s-alive", cluster="c1")
    hosts = provider.acquire(1, living)
    kept = hosts[0].spawn("kept", ["sleep", "60"], {})
    try:
        pids = [int(text) for text in log.read_text().split()]
        found = {left.owner.session: left for left in provider.owned()}
        dead = found["s-dead"]
        assert dead.owner == Owner(study="dead", session="s-dead", cluster="c7")
        assert "processes" in dead.text
        assert "1 folder" in dead.text
        assert "study dead, session s-dead" in dead.text
        dead.remove()
        dead.remove()
        assert not any(alive(pid) for pid in pids)
        assert "s-dead" not in {left.owner.session for left in provider.owned()}
        assert kept.poll() is None
        assert hosts[0].folder.is_dir()
    finally:
        provider.release(hosts)
    assert not (tmp_path / f"benchcast-{os.getuid()}" / living.mark).exists()
