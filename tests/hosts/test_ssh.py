"""Hosts over SSH against a real sshd: processes, files, dropped connections, refusals."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.errors import HostLost, LaunchFailed, UnsuitableEnvironment
from bench.hosts import agent, facts, sent
from bench.hosts.cgroups import Cgroups
from bench.hosts.inventory import Entry, Inventory
from bench.hosts.link import Address, Link, known_hosts
from bench.hosts.ssh import SshHost
from bench.records.cluster import Owner
from bench.records.study import Shape
from tests.hosts import sshd

pytest.importorskip("asyncssh", reason="pip install 'benchcast[ssh]'")
# Marked processes are looked for on the whole machine: these tests would see each other's.
pytestmark = pytest.mark.alone

OWNER = Owner(study="a study", session="20260101T000000-sshssh", cluster="c1")


def test_the_agent_needs_the_standard_library_only() -> None:
    source = sent.program()
    boot = "import sys; exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"
    told = b'{"op": "facts"}\n{"op": "read", "path": "/none", "offset": 0, "size": 1}\n'
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", boot],
        input=f"{len(source)}\n".encode() + source + told,
        capture_output=True,
        check=True,
    )
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["ok"]["cores"] == agent.facts()["cores"]
    assert second == {"error": "No such file or directory", "errno": 2}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Sshd]:
    """One sshd for this module."""
    with sshd.running(tmp_path_factory.mktemp("sshd") / "server") as made:
        yield made


@pytest.fixture
def inventory(server: sshd.Sshd) -> Iterator[Inventory]:
    """An inventory of the one host."""
    made = Inventory([Entry(address=server.address())])
    yield made
    left = [one.text for one in made.owned() if one.owner.session == OWNER.session]
    made.close()
    assert left == []


@pytest.fixture
def host(inventory: Inventory) -> Iterator[SshHost]:
    """One host; released in the end."""
    (made,) = inventory.acquire(1, OWNER)
    assert isinstance(made, SshHost)
    yield made
    inventory.release([made])


def test_a_process_writes_to_a_file_and_has_a_small_environment(host: SshHost) -> None:
    process = host.spawn("show", ["env"], {"GIVEN": "1"})
    assert process.wait(30) == 0
    text = process.read().decode()
    assert "GIVEN=1\n" in text
    assert f"TMPDIR={host.folder}/tmp\n" in text
    assert "BENCHCAST_OWNER=a study/20260101T000000-sshssh/c1\n" in text
    assert "SSH_CONNECTION" not in text
    assert process.read(len(text) - 3) == text[-3:].encode()
    again = host.spawn("show", ["sh", "-c", "exit 3"], {})
    assert again.output != process.output
    assert again.wait(30) == 3
    killed = host.spawn("killed", ["sh", "-c", "kill -9 $$"], {})
    assert killed.wait(30) == -9
    with pytest.raises(LaunchFailed, match=r"nothing-such did not start on host 127\.0\.0\.1"):
        host.spawn("none", ["nothing-such"], {})


def test_facts_are_the_machine_s_own_and_as_the_local_host_says_them(host: SshHost) -> None:
    assert host.machine() == facts.machine()
    assert len(set(host.free_ports(3))) == 3
    assert host.package("msgspec") is not None
    assert host.package("no_such_package") is None
    assert host.run(["sh", "-c", "echo out; echo err >&2; exit 4"]) == (4, "out\nerr\n")
    assert host.run(["nothing-such"])[0] == 127
    assert host.run(["sleep", "60"], timeout=0.2)[0] == 124


def test_a_cpu_limit_holds_and_its_group_counts_and_goes(
    host: SshHost, inventory: Inventory
) -> None:
    if (reason := Cgroups().available()) is not None:
        with pytest.raises(LaunchFailed, match=r"cannot be held on host 127\.0\.0\.1: "):
            host.limit(Shape(cpu_limit=0.2))
        pytest.skip(f"no CPU limits here: {reason}")
    host.limit(Shape())
    assert host.throttled() is not None or Cgroups().throttled_around() is None
    host.limit(Shape(cpu_limit=0.2))
    assert host.throttled() is None
    busy = "import time; end = time.monotonic() + 1\nwhile time.monotonic() < end: pass"
    assert host.spawn("busy", [sys.executable, "-c", busy], {}).wait(30) == 0
    used = host.cpu_seconds()
    assert used is not None
    assert 0.0 < used < 0.6
    name = f"benchcast.{OWNER.mark}.{host.index}"
    assert (Cgroups().group(name).throttled() or (0, 0.0))[0] > 0
    (left,) = [one for one in inventory.owned() if one.owner.session == OWNER.session]
    assert "1 control group of" in left.text
    inventory.release([host])
    assert name not in Cgroups().marked()


def test_a_refused_cpu_limit_is_said_as_here(
    host: SshHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = host.link.call

    def call(op: str, **arguments: Any) -> object:
        return "control groups cannot be written here" if op == "quotas" else asked(op, **arguments)

    monkeypatch.setattr(host.link, "call", call)
    with pytest.raises(LaunchFailed, match=r"cpu_limit = 0\.5 cannot be held on host 127\.0\.0\.1"):
        host.limit(Shape(cpu_limit=0.5))
    host.limit(Shape())
    assert host.spawn("free", ["true"], {}).wait(30) == 0


def test_a_file_travels_once_a_digest(
    host: SshHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    asked = host.link.call

    def call(op: str, **arguments: Any) -> object:
        sent.append(op)
        return asked(op, **arguments)

    monkeypatch.setattr(host.link, "call", call)
    source = tmp_path / "main.py"
    source.write_bytes(os.urandom(1000))
    for path in ("a/main.py", "b/main.py"):
        assert host.put(source, path).read_bytes() == source.read_bytes()
    assert sent == ["place", "write", "place", "place"]
    (host.folder / "b" / "main.py").write_bytes(b"changed by its run")
    assert host.put(source, "c/main.py").read_bytes() == source.read_bytes()
    assert sorted(p.name for p in (host.folder / "a").iterdir()) == ["main.py"]


def test_files_go_there_and_come_back(host: SshHost, tmp_path: Path) -> None:
    source = tmp_path / "large"
    source.write_bytes(os.urandom(1_500_001))
    there = host.put(source, "a/b/large")
    host.put(source, "a/small")
    host.get(there, tmp_path / "one")
    assert (tmp_path / "one").read_bytes() == source.read_bytes()
    host.get(host.folder / "a", tmp_path / "all")
    assert sorted(p.name for p in (tmp_path / "all").rglob("*")) == ["b", "large", "small"]
    with pytest.raises(OSError, match="No such file"):
        host.get(host.folder / "none", tmp_path / "none")
    with pytest.raises(LaunchFailed, match="leaves the host's folder"):
        host.put(source, "../../x")


def test_kill_ends_children_in_sessions_of_their_own(host: SshHost) -> None:
    script = "setsid sleep 600 & echo $!; exec sleep 600"
    process = host.spawn("parent", ["sh", "-c", script], {})
    deadline = time.monotonic() + 20
    while not process.read().strip() and time.monotonic() < deadline:
        time.sleep(0.05)
    child = int(process.read())
    assert Path(f"/proc/{child}").exists()
    process.kill()
    process.kill()
    assert process.poll() == -int(signal.SIGTERM)
    assert host.link.call("marked", marks=host.marks) == []


def test_cpu_time_of_ended_and_living_processes_counts(host: SshHost) -> None:
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


def test_a_process_outlives_its_connection_and_is_found_again(
    host: SshHost, server: sshd.Sshd
) -> None:
    process = host.spawn("long", ["sh", "-c", "sleep 1; echo done; exit 7"], {})
    server.cut()
    assert process.wait(60) == 7
    assert process.read() == b"done\n"


def test_a_process_whose_first_thread_has_ended_still_runs(host: SshHost) -> None:
    script = """
import ctypes, os, threading, time
threading.Thread(target=lambda: (time.sleep(1.5), os._exit(5))).start()
ctypes.CDLL(None).pthread_exit(None)
"""
    process = host.spawn("threads", [sys.executable, "-c", script], {})
    assert process.wait(60) == 5


def test_a_process_that_died_with_its_monitor_was_ended_by_a_signal(host: SshHost) -> None:
    process = host.spawn("both", ["sh", "-c", "echo $PPID; exec sleep 600"], {})
    deadline = time.monotonic() + 20
    while not process.read().strip() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(int(process.read()), signal.SIGKILL)
    assert process.poll() is None
    process.kill()
    assert process.poll() == -9


def test_what_another_session_left_is_found_and_removed(
    inventory: Inventory, server: sshd.Sshd
) -> None:
    (host,) = inventory.acquire(1, OWNER)
    host.spawn("sleep", ["sleep", "600"], {})
    mine = [one for one in inventory.owned() if one.owner == OWNER]
    assert [one.text for one in mine] == [
        f"1 process, 1 folder of study a study, session {OWNER.session} on host 127.0.0.1"
    ]
    mine[0].remove()
    assert not [one for one in inventory.owned() if one.owner == OWNER]


def test_one_host_that_fails_keeps_no_other_from_being_released(
    server: sshd.Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = Inventory([Entry(address=server.address(name=one)) for one in sshd.ADDRESSES])
    hosts = several.acquire(3, OWNER)
    first, beside, other = (host for host in hosts if isinstance(host, SshHost))
    other.spawn("sleep", ["sleep", "600"], {})
    asked = first.link.call

    def call(op: str, **arguments: Any) -> object:
        if op == "remove":
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return asked(op, **arguments)

    monkeypatch.setattr(first.link, "call", call)
    with pytest.raises(LaunchFailed, match=r"127\.0\.0\.1: .* cannot be removed: Device or res"):
        several.release(hosts)
    assert [host.folder.exists() for host in (first, beside, other)] == [True, True, False]
    assert other.link.call("marked", marks=other.marks) == []
    (left,) = [one for one in several.owned() if one.owner == OWNER]
    with pytest.raises(LaunchFailed, match="cannot be removed: Device or resource busy"):
        left.remove()
    monkeypatch.undo()
    several.release([first, beside])
    assert not [one for one in several.owned() if one.owner == OWNER]
    several.close()


def test_what_was_started_beside_a_host_s_work_ends_with_it(inventory: Inventory) -> None:
    hosts = inventory.acquire(2, OWNER)
    first, second = (host for host in hosts if isinstance(host, SshHost))
    first.beside("sampler", ["sleep", "600"])
    other = second.beside("sampler", ["sleep", "600"])
    inventory.release([first])
    assert other.poll() is None
    owned = {"BENCHCAST_OWNER": first.marks["BENCHCAST_OWNER"]}
    assert len(second.link.call("marked", marks=owned)) == 1
    inventory.release([second])
    assert second.link.call("marked", marks=owned) == []


def test_what_is_left_is_listed_once_for_addresses_of_one_machine(server: sshd.Sshd) -> None:
    several = Inventory([Entry(address=server.address(name=one)) for one in sshd.ADDRESSES])
    hosts = several.acquire(3, OWNER)
    for host in hosts:
        host.limit(Shape())
        host.spawn("sleep", ["sleep", "600"], {})
    (one,) = [left for left in several.owned() if left.owner == OWNER]
    assert one.text.startswith("3 processes, 1 folder")
    one.remove()
    assert not [left for left in several.owned() if left.owner == OWNER]
    several.release(hosts)
    several.close()


def test_refusals_name_the_host(server: sshd.Sshd, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    empty = tmp_path / "empty"
    empty.write_text("")
    torn = tmp_path / "torn"
    torn.write_text(f"{server.known_hosts.read_text().splitlines()[0]}\ntorn\n")
    refused = {
        r"127\.0\.0\.1 refuses the key; ": server.address(key=other),
        r"127\.0\.0\.1: key .*/none cannot be read: No such": server.address(key=tmp_path / "none"),
        r"127\.0\.0\.1: known_hosts .*/torn cannot be .* line 2 ": server.address(known_hosts=torn),
        r"a\.\.b: this is no address": server.address(name="a..b"),
        r"a{64}\.b: this is no address": server.address(name=f"{'a' * 64}.b"),
        r"127\.0\.0\.1: its host key is not in known_hosts": server.address(known_hosts=empty),
        r"127\.0\.0\.1: /no/python does not run": server.address(python="/no/python"),
        r"127\.0\.0\.1 cannot be reached: Connect call failed|refused": server.address(port=1),
    }
    for text, address in refused.items():
        with pytest.raises(LaunchFailed, match=text) as caught:
            Link(address).connect()
        assert isinstance(caught.value, HostLost) == ("reached" in text)
    with pytest.raises(UnsuitableEnvironment, match="there is no such file"):
        known_hosts(str(tmp_path / "none"))


def test_a_hung_sshd_is_a_lost_host(server: sshd.Sshd, tmp_path: Path) -> None:
    link = Link(server.address(), lost_after=0.0)
    link.connect()
    stopped = [server.process.pid, *server.sessions()]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(HostLost, match=r"host 127\.0\.0\.1 did not answer for 0.5 s"):
            link.call("facts", timeout=0.5)
        with pytest.raises(HostLost, match=r"host 127\.0\.0\.1"):
            link.call("facts")
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    link.connect()
    assert link.call("facts")["uid"] == os.getuid()
    link.close()


def _dead(server: sshd.Sshd) -> Address:
    """A host that refuses connections, under another name than the living one."""
    return server.address(name="localhost", port=1)


def test_a_spare_takes_a_dead_host_s_place_and_too_few_are_named(server: sshd.Sshd) -> None:
    entries = [Entry(address=_dead(server)), Entry(address=server.address())]
    good = Inventory(entries, spares=1)
    hosts = good.acquire(2, OWNER)
    assert {host.address for host in hosts} == {"127.0.0.1"}
    with pytest.raises(LaunchFailed, match="0 of 1 host can be used"):
        good.acquire(1, OWNER)
    good.release(hosts)
    good.close()
    none = Inventory(entries, spares=0)
    with pytest.raises(LaunchFailed, match="host localhost cannot be reached"):
        none.acquire(2, OWNER)


def test_a_full_disk_is_named(server: sshd.Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.hosts.sshplace.LEAST_FREE", 1 << 60)
    full = Inventory([Entry(address=server.address())])
    with pytest.raises(LaunchFailed, match=r"127\.0\.0\.1: .*No space left on device"):
        full.acquire(1, OWNER)
    full.close()
