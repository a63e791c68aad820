"""Hosts and processes: one test body over both channels, a child process and a real sshd."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from bench.environments.local.provider import LocalProvider
from bench.environments.ssh.provider import Entry, SshProvider
from bench.errors import LaunchFailed
from bench.hosts.agent.cgroups import Cgroups
from bench.hosts.child import ChildChannel
from bench.hosts.host import Host, concrete
from bench.hosts.machine import this_machine
from bench.records.cluster import Owner
from bench.records.study import Shape
from tests.hosts import sshd
from tests.hosts.providers import NO_QUOTAS, spec

pytest.importorskip("asyncssh", reason="pip install 'benchcast[ssh]'")
# Labelled processes are looked for on the whole machine: these tests would see each other's.
pytestmark = pytest.mark.alone

OWNER = Owner(study="a study", session=f"20260101T000000-{os.getpid()}", cluster="c1")
Provider = LocalProvider | SshProvider


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Sshd]:
    """One sshd for this module."""
    with sshd.running(tmp_path_factory.mktemp("sshd") / "server") as made:
        yield made


@pytest.fixture(params=["child", "ssh"])
def provider(
    request: pytest.FixtureRequest,
    server: sshd.Sshd,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Provider]:
    """A provider of hosts, over each channel; nothing of the owner is left in the end."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made: Provider
    if request.param == "child":
        made = LocalProvider(ChildChannel())
    else:
        addresses = [server.address(name=name) for name in sshd.ADDRESSES]
        made = SshProvider([Entry(address=address) for address in addresses])
    yield made
    left = owned(made)
    made.close()
    assert left == []


@pytest.fixture
def host(provider: Provider) -> Iterator[Host]:
    """A worker's host; released in the end."""
    hosts = provider.scale([], spec(), OWNER)
    yield concrete(hosts)[1]
    provider.release(hosts)


def owned(provider: Provider) -> list[str]:
    """Return what the owner has at a provider."""
    return [one.text for one in provider.owned() if one.owner == OWNER]


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def words(host: Host, name: str, script: str, count: int) -> tuple[Any, list[str]]:
    """Start a shell script; return its process and the first ``count`` words of its output."""
    process = host.spawn(name, ["sh", "-c", script], {})
    deadline = time.monotonic() + 20
    while len(process.read().split()) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    return process, process.read().decode().split()


def test_a_process_writes_to_a_file_and_has_a_small_environment(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HARNESS", "x")
    process = host.spawn("show", ["env"], {"GIVEN": "1"})
    assert process.wait(30) == 0
    text = process.read().decode()
    assert "GIVEN=1\n" in text
    assert f"TMPDIR={host.folder}/tmp\n" in text
    assert f"BENCHCAST_OWNER=a study/{OWNER.session}/c1\n" in text
    assert "SECRET_OF_THE_HARNESS" not in text
    assert "SSH_CONNECTION" not in text
    assert process.read(len(text) - 3) == text[-3:].encode()
    assert process.read(len(text)) == process.read(len(text) + 9) == b""
    again = host.spawn("show", ["sh", "-c", "exit 3"], {})
    assert again.output != process.output
    assert again.wait(30) == 3
    assert again.poll() == 3
    killed = host.spawn("killed", ["sh", "-c", "kill -9 $$"], {})
    assert killed.wait(30) == -9


def test_no_such_program(host: Host) -> None:
    with pytest.raises(LaunchFailed, match=f"nothing-such did not start on {host.channel.label}"):
        host.spawn("none", ["/nothing-such"], {})


def test_wait_returns_none_in_time_and_a_signal_is_a_negative_code(host: Host) -> None:
    process = host.spawn("sleep", ["sleep", "60"], {})
    assert process.wait(0.05) is None
    process.kill()
    assert process.poll() == -signal.SIGTERM
    process.kill()
    assert process.poll() == -signal.SIGTERM


def test_a_killed_process_takes_all_that_it_started_and_nothing_else(host: Host) -> None:
    """Those that ignore SIGTERM, that left its session, and that dropped their environment."""
    script = (
        "trap '' TERM; setsid sleep 61 & echo $!; sleep 62 & echo $!;"
        "env -i sleep 63 & echo $!; wait; wait; wait"
    )
    other = host.spawn("other", ["sleep", "64"], {})
    process, pids = words(host, "group", script, 3)
    assert all(alive(int(pid)) for pid in pids)
    process.kill()
    assert not any(alive(int(pid)) for pid in pids)
    assert other.poll() is None


def test_a_process_whose_first_thread_has_ended_still_runs(host: Host) -> None:
    script = """
import ctypes, os, threading, time
threading.Thread(target=lambda: (time.sleep(1.5), os._exit(5))).start()
ctypes.CDLL(None).pthread_exit(None)
"""
    process = host.spawn("threads", [sys.executable, "-c", script], {})
    assert process.wait(60) == 5


def test_a_process_that_died_with_its_monitor_was_ended_by_a_signal(host: Host) -> None:
    process, (monitor,) = words(host, "both", "echo $PPID; exec sleep 600", 1)
    os.kill(int(monitor), signal.SIGKILL)
    assert process.wait(0.3) is None
    process.kill()
    assert process.poll() == -9


def test_release_ends_everything_and_removes_the_tagged_folder(provider: Provider) -> None:
    hosts = concrete(provider.scale([], spec(3), OWNER))
    processes = [host.spawn("sleep", ["sleep", "60"], {}) for host in hosts]
    tagged = hosts[0].folder.parent
    fewer = concrete(provider.scale(hosts, spec(1), OWNER))
    assert fewer == hosts[:2]
    assert tagged.is_dir()
    assert [process.poll() is None for process in processes] == [True, True, False, False]
    more = concrete(provider.scale(fewer, spec(2), OWNER))
    assert more[:2] == fewer
    assert more[2].folder.name == "4"
    provider.release(hosts)
    provider.release(hosts)
    assert tagged.is_dir()
    provider.release(more)
    assert not tagged.exists()


def test_ports_are_not_handed_out_twice(provider: Provider) -> None:
    hosts = provider.scale([], spec(2), OWNER)
    ports = [port for _ in range(20) for host in hosts for port in host.free_ports(3)]
    assert len(set(ports)) == 180
    provider.release(hosts)


def test_facts_are_the_machine_s_own(host: Host) -> None:
    assert host.machine() == this_machine()
    assert host.package("msgspec") is not None
    assert host.package("no_such_package") is None
    assert host.run(["sh", "-c", "echo out; echo err >&2; exit 4"]) == (4, "out\nerr\n")
    assert host.run(["nothing-such"])[0] == 127
    assert host.run(["sleep", "60"], timeout=0.2)[0] == 124


def test_an_interrupted_request_does_not_answer_the_next(host: Host) -> None:
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        host.run(["sh", "-c", "sleep 1.5; echo late"])
    assert host.run(["echo", "next"]) == (0, "next\n")


def test_files_go_there_and_come_back(host: Host, tmp_path: Path) -> None:
    source = tmp_path / "large"
    source.write_bytes(os.urandom(1_500_001))
    there = host.put(source, "a/b/large")
    assert there == host.folder / "a/b/large"
    host.put(source, "a/small")
    (host.folder / "a" / "link").symlink_to("small")
    os.mkfifo(host.folder / "a" / "fifo")
    host.get(there, tmp_path / "new" / "one")
    assert (tmp_path / "new" / "one").read_bytes() == source.read_bytes()
    host.get(host.folder / "a", tmp_path / "all")
    assert sorted(p.name for p in (tmp_path / "all").rglob("*")) == ["b", "large", "link", "small"]
    assert (tmp_path / "all" / "link").read_bytes() == source.read_bytes()
    with pytest.raises(OSError, match="No such file"):
        host.get(host.folder / "none", tmp_path / "none")
    with pytest.raises(LaunchFailed, match="is outside the host's folder"):
        host.put(source, "../../x")
    (host.folder / "file").touch()
    with pytest.raises(LaunchFailed, match=f"{host.channel.label}: x cannot be written: "):
        host.put(source, "file/x")


def test_cpu_time_of_ended_and_living_processes_counts(host: Host) -> None:
    burn = "import time\nwhile time.process_time() < 0.4: pass"
    assert host.cpu_seconds() is None
    ended = host.spawn("burn", [sys.executable, "-c", burn], {})
    living = host.spawn("stay", [sys.executable, "-c", burn + "\ntime.sleep(600)"], {})
    assert ended.wait(60) == 0
    deadline = time.monotonic() + 60
    while (host.cpu_seconds() or 0.0) < 0.6 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (host.cpu_seconds() or 0.0) >= 0.6  # more than one of them has
    assert living.poll() is None


def test_a_cpu_limit_holds_changes_and_its_group_counts_and_goes(
    host: Host, provider: Provider
) -> None:
    if (reason := Cgroups().available()) is not None:
        pytest.skip(f"no CPU limits here: {reason}")
    host.limit(Shape())
    assert host.throttled() is not None or Cgroups().throttled_by_enclosing() is None
    early = host.spawn("early", ["sleep", "600"], {})
    host.limit(Shape(cpu_limit=0.2))
    assert early.poll() is None  # in the same group, whose limit was changed
    assert host.throttled() is None
    busy = "import time; end = time.monotonic() + 1\nwhile time.monotonic() < end: pass"
    assert host.spawn("busy", [sys.executable, "-c", busy], {}).wait(30) == 0
    used = host.cpu_seconds()
    assert used is not None
    assert 0.0 < used < 0.6
    name = f"benchcast.{OWNER.tag}.{host.index}"
    assert (Cgroups().group(name).throttled() or (0, 0.0))[0] > 0
    (text,) = owned(provider)
    assert "1 process, 1 folder, 1 control group of" in text
    provider.release([host])
    assert name not in Cgroups().everywhere()


def test_a_cpu_limit_that_cannot_be_held_is_refused(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = host.channel.call

    def without(op: str, **arguments: Any) -> object:
        return NO_QUOTAS if op == "quotas" else call(op, **arguments)

    monkeypatch.setattr(host.channel, "call", without)
    what = rf"{host.channel.label} cannot enforce cpu_limit = 0\.5: {NO_QUOTAS}"
    with pytest.raises(LaunchFailed, match=what):
        host.limit(Shape(cpu_limit=0.5))
    host.limit(Shape())
    assert host.spawn("free", ["true"], {}).wait(30) == 0


def test_what_was_started_beside_a_host_s_work_ends_with_it(provider: Provider) -> None:
    hosts = concrete(provider.scale([], spec(), OWNER))
    first, second = hosts
    first.beside("sampler", ["sleep", "600"])
    other = second.beside("sampler", ["sleep", "600"])
    provider.release([first])
    assert other.poll() is None
    label = {"BENCHCAST_OWNER": first.labels["BENCHCAST_OWNER"]}
    assert len(second.channel.call("labelled", labels=label)) == 1
    provider.release([second])
    assert second.channel.call("labelled", labels=label) == []


@pytest.mark.parametrize(("interval", "seconds"), [(0.2, 1.5), (60.0, 1.0)])
def test_every_machine_is_sampled_at_the_rate_that_was_asked_for(
    provider: Provider, tmp_path: Path, interval: float, seconds: float
) -> None:
    hosts = provider.scale([], spec(2), OWNER)
    source = provider.sources(hosts)[0]
    source.start(interval)
    burn = "import time\nwhile time.process_time() < 0.3: pass\n"
    argv = [sys.executable, "-c", f"{burn}time.sleep({seconds})"]
    assert hosts[1].spawn("burn", argv, {}).wait(30) == 0
    source.stop(tmp_path)
    provider.release(hosts)
    rows = pq.read_table(tmp_path / "samples.parquet").to_pylist()
    several = isinstance(provider, SshProvider)  # the driver is beside worker 0
    machines = {"host:driver", "host:worker-1"} if several else {"host"}
    assert {row["scope"] for row in rows} == machines | {"driver", "worker-0", "worker-1"}
    for machine in machines:
        host = [row for row in rows if row["scope"] == machine]
        assert (host[0]["t"], host[0]["cpu_user"]) == (0.0, None)
        assert host[-1]["t"] > seconds
        # The kernel counts in ticks of 10 ms: one short sample alone may well have none.
        assert sum(row["cpu_user"] for row in host[1:]) > 0.0
        whole = [row["t"] // interval for row in host[1:-1]]
        assert whole == sorted(set(whole))
        assert bool(whole) == (interval < seconds)


def test_what_an_owner_has_is_listed_once_and_removed(provider: Provider) -> None:
    hosts = provider.scale([], spec(2), OWNER)
    for host in hosts:
        host.spawn("sleep", ["sleep", "600"], {})
    (one,) = [left for left in provider.owned() if left.owner == OWNER]
    assert one.text.startswith("3 processes, 1 folder of study a study, session 2026")
    one.remove()
    one.remove()
    assert owned(provider) == []
    provider.release(hosts)
