"""The agent as a child process: it ends with the harness, and Ctrl-C does not reach it first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.environments.local.provider import LocalProvider
from bench.hosts import machine
from bench.hosts.child import ChildChannel
from bench.hosts.host import concrete
from bench.records.cluster import Owner
from bench.records.results import Machine
from tests.hosts.providers import spec
from tests.hosts.test_host import alive

# Labelled processes are looked for on the whole machine: these tests would see each other's.
pytestmark = pytest.mark.alone

HARNESS = """
import sys, tempfile, time
tempfile.tempdir = sys.argv[1]
from bench.environments.local.provider import LocalProvider
from bench.records.cluster import ClusterSpec, Owner
from bench.records.study import Shape
provider = LocalProvider()
spec = ClusterSpec(engine="none", workers=1, worker=Shape(), driver=Shape())
hosts = provider.scale([], spec, Owner(study="dead", session="s-dead", cluster="c7"))
try:
    for host in hosts:
        host.limit(Shape())
        host.spawn("child", ["sh", "-c", "sleep 61 & sleep 62"], {})
    sampler = provider.sources(hosts)[0]
    sampler.start(60.0)
    mine = {"BENCHCAST_OWNER": hosts[0].labels["BENCHCAST_OWNER"]}
    print(*hosts[0].channel.call("labelled", labels=mine), end=" ")
    print(hosts[0].channel.greeting["pid"], flush=True)
    time.sleep(60)
finally:
    provider.release(hosts)
    print("released", flush=True)
"""


@pytest.fixture
def harness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A harness with two hosts in a process group of its own; its processes, the agent last."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-c", HARNESS, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        yield process, [int(word) for word in process.stdout.readline().split()]
        process.kill()


def gone(pids: list[int]) -> bool:
    """Whether all end soon."""
    deadline = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(alive, pids))


def test_a_killed_harness_leaves_what_is_found_by_its_tag_and_nothing_else(
    harness: tuple[subprocess.Popen[str], list[int]], tmp_path: Path
) -> None:
    process, pids = harness
    agent = pids.pop()
    process.kill()
    process.wait()
    assert gone([agent])
    provider = LocalProvider()
    living = Owner(study="alive", session="s-alive", cluster="c1")
    hosts = concrete(provider.scale([], spec(), living))
    kept = hosts[0].spawn("kept", ["sleep", "60"], {})
    try:
        dead = {one.owner.session: one for one in provider.owned()}["s-dead"]
        assert dead.owner == Owner(study="dead", session="s-dead", cluster="c7")
        assert "processes, 1 folder" in dead.text
        assert "study dead, session s-dead on this machine" in dead.text
        dead.remove()
        dead.remove()
        assert not any(alive(pid) for pid in pids)
        assert "s-dead" not in {one.owner.session for one in provider.owned()}
        assert kept.poll() is None
        assert hosts[0].folder.is_dir()
    finally:
        provider.release(hosts)
        provider.close()
    assert not (tmp_path / f"benchcast-{os.getuid()}" / living.tag).exists()


def test_ctrl_c_lets_the_harness_stop_what_runs(
    harness: tuple[subprocess.Popen[str], list[int]], tmp_path: Path
) -> None:
    process, pids = harness
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it
    assert process.stdout is not None
    assert process.stdout.read() == "released\n"
    process.wait(20)
    assert gone(pids)
    assert not list(tmp_path.glob(f"benchcast-{os.getuid()}/s-dead*"))


def test_an_agent_that_died_is_started_again_and_a_closed_one_is_gone(tmp_path: Path) -> None:
    channel = ChildChannel()
    channel.connect()
    first = int(channel.greeting["pid"])
    os.kill(first, signal.SIGKILL)
    second = int(channel.call("facts")["pid"])
    assert second not in (first, os.getpid())
    assert os.getsid(second) == second
    channel.close()
    assert not Path(f"/proc/{first}").exists()
    assert not Path(f"/proc/{second}").exists()
    assert int(channel.call("facts")["pid"]) != second
    channel.close()


def test_machine_facts_name_no_host() -> None:
    facts = machine.this_machine()
    assert isinstance(facts, Machine)
    assert facts.cores >= 1
    assert len(facts.digest) == 64
    assert os.uname().nodename not in (facts.cpu_model, facts.os)
    assert machine.capacity().available <= machine.capacity().memory
