"""The ssh environment: its settings, what it checks, and a host that dies in mid-run."""

from __future__ import annotations

import math
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from bench import environments, study, workloads
from bench.environments.ssh.environment import SshEnvironment
from bench.errors import LaunchFailed, StudyError, UnsuitableEnvironment
from bench.hosts.agent.cgroups import Cgroups
from bench.hosts.machine import this_machine
from bench.hosts.ssh import SshChannel
from bench.plan import Fixed
from bench.records.cluster import ClusterSpec, Owner
from bench.records.study import EnvironmentSpec, Shape, Study
from bench.runner import cleanup
from bench.runner.session import new_session
from tests.hosts import sshd
from tests.jobs import job

pytest.importorskip("asyncssh", reason="pip install 'benchcast[ssh]'")
# Marked processes are looked for on the whole machine: these tests would see each other's.
pytestmark = pytest.mark.alone

GIB = 1 << 30
OWNER = Owner(study="s", session="20260101T000000-sshenv", cluster="c1")
JOB = job("tensorflow")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Sshd]:
    """One sshd for this module; it is three hosts of this machine."""
    with sshd.running(tmp_path_factory.mktemp("sshd") / "server") as made:
        yield made


def build(settings: Mapping[str, object]) -> SshEnvironment:
    """The environment of these settings."""
    made = environments.build(EnvironmentSpec(name="rack", kind="ssh", settings=settings))
    assert isinstance(made, SshEnvironment)
    return made


def need(
    workers: int, *, engine: str = "tensorflow", memory: int = GIB, cores: int = 1
) -> ClusterSpec:
    """A need of so many workers."""
    worker = Shape(memory=memory, cores=cores)
    return ClusterSpec(engine=engine, workers=workers, worker=worker, driver=Shape())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("hosts = []", "hosts"),
        ('hosts = ["a"]\nport = 0', "port"),
        ('hosts = ["a"]\npassphrase = "literal"', "passphrase"),
        ('hosts = ["a"]\npassphrase = {}', "passphrase"),
        ('hosts = [{ address = "a", memory = "much" }]', "is not an amount of memory"),
        ('hosts = [{ address = "a", price = "cheap" }]', '"0.42 EUR/h" is'),
        ('hosts = ["a"]\nfolder = "../elsewhere"', "folder"),
        ('hosts = ["a"]\nunreachable_after = "0 s"', '"30 s" is'),
        ('hosts = ["a"]\nunreachable_after = "soon"', "is not a duration"),
        ('hosts = [{ address = "a", prot = 22 }]', "prot"),
        ('hosts = ["a"]\nstrict_host_key_checking = false', "strict_host_key_checking"),
    ],
)
def test_wrong_settings_are_errors_of_the_study(wrong: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "rack.toml"
    workload = '[[workload]]\nuse = "tensorflow-logistic-regression"\ndataset = "flights"\n'
    file.write_text(f'title = "t"\nworkers = 1\n{workload}[[environment]]\nkind = "ssh"\n{wrong}\n')
    with pytest.raises(StudyError, match=said) as caught:
        study.load(file, environments.kinds(), workload=workloads.manifest)
    assert "literal" not in str(caught.value)


def test_what_contradicts_itself_is_refused(server: sshd.Sshd, tmp_path: Path) -> None:
    for other, said in (
        ({"hosts": ["a", "a"]}, "listed twice"),
        ({"driver_host": "b"}, "is not one of the hosts"),
        ({"known_hosts": str(tmp_path / "none")}, "there is no such file"),
        ({"key": str(tmp_path / "none")}, "key = .* there is no such file"),
        ({"passphrase": {"env": "BENCHCAST_NOT_SET"}}, "BENCHCAST_NOT_SET is not set"),
        ({"passphrase": {"file": str(tmp_path / "none")}}, "cannot be read"),
    ):
        with pytest.raises(UnsuitableEnvironment, match=said):
            build(server.settings(**other))


def test_the_passphrase_comes_from_a_file_and_is_not_shown(
    server: sshd.Sshd, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "open sesame", "-f", str(key)]
    subprocess.run(command, check=True)
    with (server.folder / "authorized").open("a") as file:
        file.write(key.with_suffix(".pub").read_text())
    (tmp_path / "secret").write_text("open sesame\n")
    there = build(server.settings(key=str(key), passphrase={"file": str(tmp_path / "secret")}))
    assert [finding.what for finding in there.check(need(1))] == []
    (tmp_path / "secret").write_text("wrong\n")
    closed = build(server.settings(key=str(key), passphrase={"file": str(tmp_path / "secret")}))
    findings = closed.check(need(1))
    assert any("the key cannot be read" in finding.what for finding in findings)
    assert not any("wrong" in str(finding) for finding in findings)
    there.provider.close()


def test_check_names_what_a_host_lacks(server: sshd.Sshd) -> None:
    there = build(server.settings())
    assert there.check(need(3)) == []
    (few,) = there.check(need(4))
    assert str(few) == "4 workers: there are 3 hosts; list more hosts, or ask for fewer workers"
    lacking = [finding.what for finding in there.check(need(3, memory=1 << 50, cores=9999))]
    assert any("host 127.0.0.2 has" in what and "GiB" in what for what in lacking)
    assert any("worker.cores = 9999: host 127.0.0.3 has" in what for what in lacking)
    (heap, *_) = there.check(need(1, engine="spark", memory=200 << 20))
    assert "leaves a heap" in heap.what
    there.provider.close()


def test_hosts_that_do_not_answer_are_warned_of(server: sshd.Sshd) -> None:
    hosts = ["127.0.0.1", {"address": "127.0.0.2", "port": 1}]
    there = build(server.settings(hosts=hosts))
    assert there.check(need(1)) == []
    warned, against = there.check(need(2))
    assert (warned.severity, against.severity) == ("warning", "error")
    assert "host 127.0.0.2 cannot be reached" in warned.what
    assert against.what == "2 workers: 1 host can be used"
    there.provider.close()


def test_no_more_hosts_are_asked_than_are_needed(
    server: sshd.Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    connect = SshChannel.connect

    def counted(channel: SshChannel) -> None:
        asked.append(channel.name)
        connect(channel)

    monkeypatch.setattr(SshChannel, "connect", counted)
    there = build(server.settings())
    there.check(need(4))
    assert asked == []
    there.check(need(1))
    there.check(need(1, engine="spark"))
    assert asked == ["127.0.0.1"]
    there.check(need(2))
    assert asked == ["127.0.0.1", "127.0.0.2"]
    there.provider.ask_seconds = 0.0
    findings = there.check(need(3))
    assert asked == ["127.0.0.1", "127.0.0.2"]
    assert "host 127.0.0.3 was not asked" in findings[0].what
    there.provider.close()


def test_what_is_said_of_a_host_is_held_against_it(server: sshd.Sshd) -> None:
    machine = this_machine()
    true = {"address": "127.0.0.1", "cores": machine.cores, "price": "0.42 EUR/h"}
    true["memory"] = f"{math.ceil(machine.memory / GIB)} GiB"
    false = {"address": "127.0.0.2", "cores": machine.cores + 1, "memory": "1 TiB"}
    there = build(server.settings(hosts=[true, false]))
    cores, memory = there.check(need(2))
    assert f"the study says {machine.cores + 1} cores, the host has {machine.cores}" in cores.what
    assert "host 127.0.0.2: the study says 1 TiB of memory, the host has" in memory.what
    assert {cores.severity, memory.severity} == {"warning"}
    there.provider.close()


def test_a_refused_cpu_limit_is_a_finding(
    server: sshd.Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = build(server.settings())
    small = msgspec.structs.replace(need(1), worker=Shape(memory=GIB, cpu_limit=0.5))
    if (reason := Cgroups().available()) is None:
        assert there.check(small) == []
    else:
        (finding,) = there.check(small)
        assert str(finding).startswith(f"host 127.0.0.1 cannot enforce cpu_limit: {reason}")
        assert (finding.severity, finding.scope) == ("error", "cell")
    there.provider.close()


STUDY = """
title = "t"
workers = 1
[[workload]]
use = "tensorflow-logistic-regression"
dataset = "flights"
[[environment]]
kind = "ssh"
name = "rack"
"""


def loaded(folder: Path, settings: str) -> Study:
    """The study of these settings."""
    file = folder / "rack.toml"
    file.write_text(STUDY + settings)
    return study.load(file, environments.kinds(), workload=workloads.manifest)


def test_how_one_logs_in_is_no_part_of_a_cell_and_in_no_record(tmp_path: Path) -> None:
    plain = loaded(tmp_path, 'hosts = ["a", "b"]')
    dressed = loaded(
        tmp_path,
        """
        hosts = [{ address = "a", user = "jane", key = "/home/jane/a", cores = 4 }, "b"]
        user = "john"
        key = "/home/john/b"
        passphrase = { file = "/home/john/c" }
        known_hosts = "/home/john/d"
        port = 2222
        folder = "john"
        spares = 0
        at_once = 3
        unreachable_after = "7 s"
        """,
    )
    other = loaded(tmp_path, 'hosts = ["a", "c"]')
    keys = []
    for one in (plain, dressed, other):
        keys.append([cell.key for cell in Fixed(one).cells])
    assert keys[0] == keys[1]
    assert not set(keys[0]) & set(keys[2])
    text = msgspec.json.encode(new_session(dressed, tmp_path, None)).decode()
    assert '"address":"a","cores":4' in text
    for word in ("jane", "john", "2222"):
        assert word not in text


def test_a_killed_session_leaves_what_cleanup_needs(tmp_path: Path) -> None:
    whole = loaded(tmp_path, 'hosts = ["a"]\nuser = "jane"')
    session = new_session(whole, tmp_path, None)
    assert cleanup.load_settings(session) == session.study.environments
    path = cleanup.save_settings(session.session, whole)
    assert path is not None
    try:
        (kept,) = cleanup.load_settings(session)
        assert kept.settings["user"] == "jane"
        assert kept.for_record() == session.study.environments[0]
        assert path.stat().st_mode & 0o077 == 0
    finally:
        path.unlink()


def test_the_driver_stands_where_it_is_told(server: sshd.Sshd) -> None:
    beside = build(server.settings()).open(need(2), OWNER)
    assert [use.role for use in beside.facts.uses] == ["worker", "worker"]
    beside.close()
    apart = build(server.settings(driver_host="127.0.0.3"))
    cluster = apart.open(need(2), OWNER)
    assert [use.role for use in cluster.facts.uses] == ["driver", "worker", "worker"]
    cluster.close()
    with pytest.raises(LaunchFailed, match="2 of 3 hosts can be used"):
        apart.open(need(3), OWNER)
    assert [left for left in apart.owned() if left.owner == OWNER] == []
    apart.provider.close()


def test_a_host_that_dies_in_mid_run_is_named(server: sshd.Sshd, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("import time\nprint('up', flush=True)\ntime.sleep(600)\n")
    there = build(server.settings(unreachable_after="1 s"))
    cluster = there.open(need(2), OWNER)
    job = msgspec.structs.replace(JOB, bundle={"main.py": str(tmp_path / "main.py")}, workers=2)
    running = cluster.submit(job)
    assert not running.wait(1.0)
    stopped = [server.process.pid, *server.sessions()]
    server.process.send_signal(signal.SIGSTOP)
    server.cut()
    try:
        assert running.wait(60)
        outcome = running.collect(tmp_path)
        assert outcome.status == "failed"
        assert "host 127.0.0." in outcome.reason
        assert outcome.missing
        cluster.close()
    finally:
        os.kill(stopped[0], signal.SIGCONT)
    left = [one for one in there.owned() if one.owner == OWNER]
    assert left
    for one in left:
        one.remove()
    assert not [one for one in there.owned() if one.owner == OWNER]
    there.provider.close()
