"""The channel over SSH against a real sshd: dropped and hung connections, refusals, spares."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.environments.ssh.provider import Entry, SshProvider
from bench.errors import HostLost, LaunchFailed, UnsuitableEnvironment
from bench.hosts.agent import main, program
from bench.hosts.channel import Timeouts
from bench.hosts.host import Host, concrete
from bench.hosts.login import known_hosts
from bench.hosts.ssh import SshChannel
from bench.records.cluster import Owner
from bench.records.study import Shape
from tests.hosts import sshd
from tests.hosts.providers import spec

pytest.importorskip("asyncssh", reason="pip install 'benchcast[ssh]'")
# Labelled processes are looked for on the whole machine: these tests would see each other's.
pytestmark = pytest.mark.alone

OWNER = Owner(study="a study", session=f"20260101T000000-{os.getpid()}", cluster="c1")


def test_the_agent_needs_the_standard_library_only() -> None:
    asked = b'{"op": "files", "path": "/none"}\n'
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program.BOOT],
        input=program.message() + asked,
        capture_output=True,
        check=True,
    )
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["ok"]["cores"] == main.facts()["cores"]
    assert second == {"error": "No such file or directory", "errno": 2}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Sshd]:
    """One sshd for this module."""
    with sshd.running(tmp_path_factory.mktemp("sshd") / "server") as made:
        yield made


@pytest.fixture
def inventory(server: sshd.Sshd) -> Iterator[SshProvider]:
    """An inventory of the one host."""
    made = SshProvider([Entry(address=server.address())])
    yield made
    left = owned(made)
    made.close()
    assert left == []


@pytest.fixture
def host(inventory: SshProvider) -> Iterator[Host]:
    """One worker's host; released in the end."""
    hosts = inventory.scale([], spec(), OWNER)
    yield concrete(hosts)[1]
    inventory.release(hosts)


def several(server: sshd.Sshd, **settings: Any) -> SshProvider:
    """An inventory of three addresses of this machine."""
    entries = [Entry(address=server.address(name=name)) for name in sshd.ADDRESSES]
    return SshProvider(entries, **settings)


def owned(inventory: SshProvider) -> list[str]:
    """Return what the owner has there."""
    return [one.text for one in inventory.owned() if one.owner == OWNER]


def test_a_file_travels_once_a_digest(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    send = host.channel.send

    def counted(source: Path, target: str) -> None:
        sent.append(Path(target).name)
        send(source, target)

    monkeypatch.setattr(host.channel, "send", counted)
    source = tmp_path / "main.py"
    source.write_bytes(os.urandom(1000))
    for path in ("a/main.py", "b/main.py"):
        assert host.put(source, path).read_bytes() == source.read_bytes()
    assert sent == ["main.py.arriving"]
    (host.folder / "b" / "main.py").write_bytes(b"changed by its run")
    assert host.put(source, "c/main.py").read_bytes() == source.read_bytes()
    assert sorted(p.name for p in (host.folder / "a").iterdir()) == ["main.py"]
    assert len(sent) == 1


def test_a_file_arrives_whole_although_connections_are_cut(
    host: Host, server: sshd.Sshd, tmp_path: Path
) -> None:
    source = tmp_path / "large"
    source.write_bytes(os.urandom(64 << 20))
    cutting = threading.Timer(0.15, server.cut)
    cutting.start()
    there = host.put(source, "large")
    cutting.join()
    assert there.read_bytes() == source.read_bytes()
    cutting = threading.Timer(0.1, server.cut)
    cutting.start()
    host.get(there, tmp_path / "back")
    cutting.join()
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_a_process_outlives_its_connection_and_is_found_again(
    host: Host, server: sshd.Sshd
) -> None:
    process = host.spawn("long", ["sh", "-c", "sleep 1; echo done; exit 7"], {})
    server.cut()
    assert process.wait(60) == 7
    assert process.read() == b"done\n"


def test_one_host_that_fails_keeps_no_other_from_being_released(
    server: sshd.Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory = several(server)
    driver, first, other = hosts = concrete(inventory.scale([], spec(2), OWNER))
    other.spawn("sleep", ["sleep", "600"], {})
    call = first.channel.call

    def refusing(op: str, **arguments: Any) -> object:
        if op == "remove":
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return call(op, **arguments)

    monkeypatch.setattr(first.channel, "call", refusing)
    with pytest.raises(LaunchFailed, match=r"127\.0\.0\.1: .* cannot be removed: Device or res"):
        inventory.release(hosts)
    assert [host.folder.exists() for host in (driver, first, other)] == [True, True, False]
    assert other.channel.call("labelled", labels=other.labels) == []
    (left,) = [one for one in inventory.owned() if one.owner == OWNER]
    with pytest.raises(LaunchFailed, match="cannot be removed: Device or resource busy"):
        left.remove()
    monkeypatch.undo()
    inventory.release([driver, first])
    assert owned(inventory) == []
    inventory.close()


def test_an_owner_s_things_are_listed_once_for_addresses_of_one_machine(
    server: sshd.Sshd,
) -> None:
    inventory = several(server)
    hosts = inventory.scale([], spec(3), OWNER)
    for host in hosts:
        host.limit(Shape())
        host.spawn("sleep", ["sleep", "600"], {})
    (one,) = [left for left in inventory.owned() if left.owner == OWNER]
    assert one.text.startswith("4 processes, 1 folder")
    one.remove()
    assert owned(inventory) == []
    inventory.release(hosts)
    inventory.close()


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
        r"a\.\.b: not a valid host name": server.address(name="a..b"),
        r"a{64}\.b: not a valid host name": server.address(name=f"{'a' * 64}.b"),
        r"127\.0\.0\.1: its host key is not in known_hosts": server.address(known_hosts=empty),
        r"127\.0\.0\.1: /no/python does not run": server.address(python="/no/python"),
        r"127\.0\.0\.1 cannot be reached: Connect call failed|refused": server.address(port=1),
    }
    for text, address in refused.items():
        with pytest.raises(LaunchFailed, match=text) as caught:
            SshChannel(address).connect()
        assert isinstance(caught.value, HostLost) == ("reached" in text)
    with pytest.raises(UnsuitableEnvironment, match="there is no such file"):
        known_hosts(str(tmp_path / "none"))


def test_a_hung_sshd_is_a_lost_host(server: sshd.Sshd, tmp_path: Path) -> None:
    channel = SshChannel(server.address(), Timeouts(answer=0.5, lost=0.0))
    channel.connect()
    source = tmp_path / "file"
    source.write_bytes(b"x")
    channel.send(source, str(tmp_path / "there"))
    for work in (
        lambda: channel.call("facts"),
        lambda: channel.send(source, str(tmp_path / "there")),
        lambda: channel.fetch([(str(source), tmp_path / "here")]),
        lambda: channel.read(str(source)),
    ):
        with stopped(server):
            with pytest.raises(HostLost, match=r"host 127\.0\.0\.1 did not answer for 0.5 s"):
                work()
            with pytest.raises(HostLost, match=r"host 127\.0\.0\.1"):
                channel.call("facts")
        channel.connect()
        assert channel.call("facts")["uid"] == os.getuid()
    channel.close()


@contextlib.contextmanager
def stopped(server: sshd.Sshd) -> Iterator[None]:
    """Stop an sshd and its connections for a while."""
    pids = [server.process.pid, *server.sessions()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_host_without_sftp_is_named(tmp_path: Path) -> None:
    with sshd.running(tmp_path / "server", sftp=False) as server:
        channel = SshChannel(server.address())
        with pytest.raises(LaunchFailed, match=r"127\.0\.0\.1: its SSH server offers no SFTP; add"):
            channel.read("/etc/hostname")
        assert channel.call("facts")["uid"] == os.getuid()
        channel.close()


def test_a_full_disk_is_named_when_a_file_is_sent(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = host.channel.call
    monkeypatch.setattr(
        host.channel, "call", lambda op, **rest: 0 if op == "free" else call(op, **rest)
    )
    (tmp_path / "source").write_bytes(os.urandom(100))
    with pytest.raises(OSError, match="No space left on device"):
        host.channel.send(tmp_path / "source", "/dev/full")


def test_a_spare_takes_a_dead_host_s_place_and_too_few_are_named(server: sshd.Sshd) -> None:
    dead = Entry(address=server.address(name="localhost", port=1))
    entries = [dead, Entry(address=server.address())]
    good = SshProvider(entries, spares=1)
    hosts = good.scale([], spec(), OWNER)
    assert {host.address for host in hosts} == {"127.0.0.1"}
    with pytest.raises(LaunchFailed, match="0 of 1 host can be used"):
        good.scale(hosts, spec(2), OWNER)
    assert owned(good) == [f"1 folder of study a study, session {OWNER.session} on host 127.0.0.1"]
    good.release(hosts)
    good.close()
    none = SshProvider(entries, spares=0)
    with pytest.raises(LaunchFailed, match="host localhost cannot be reached"):
        none.scale([], spec(), OWNER)


def test_a_disk_with_too_little_room_is_named(server: sshd.Sshd) -> None:
    full = SshProvider([Entry(address=server.address())], least_free=1 << 60)
    with pytest.raises(LaunchFailed, match=r"127\.0\.0\.1: .*No space left on device"):
        full.scale([], spec(), OWNER)
    full.close()
