"""``cleanup --cache``: this machine's and hosts' caches, unless a session may be using them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli.app import app
from bench.directories import cache_root
from bench.environments.ssh.provider import Entry, SshProvider
from bench.hosts.agent import processes
from bench.hosts.host import concrete
from bench.locks import session_lock
from bench.records.cluster import Owner
from tests.hosts import sshd
from tests.hosts.providers import spec
from tests.labs.study_folder import StudyFolder

pytestmark = pytest.mark.alone
OWNER = Owner(study="other", session="20260101T000000-others", cluster="c1")
STUDY = 'title = "t"\nworkers = 1\n[[workload]]\nuse = "./quick"\n'


@pytest.fixture(autouse=True)
def _ours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what others' campaigns run on this machine meanwhile."""
    all_owners = processes.owners
    monkeypatch.setattr(
        processes, "owners", lambda: {k: n for k, n in all_owners().items() if OWNER.session in k}
    )


def cleanup(*words: str) -> dict[str, list[str]]:
    """Run the verb; return what it says of found, removed and kept."""
    done = CliRunner().invoke(app, ["cleanup", "--cache", "--json", *words])
    assert done.exit_code == 0, done.output
    data: dict[str, list[str]] = json.loads(done.stdout)["data"]
    return data


def test_this_machine_s_cache_goes_unless_a_session_lives(work: Path) -> None:
    java = cache_root() / f"java-{'0' * 16}"
    other = cache_root() / "lab"
    for one in (java, other):
        one.mkdir(parents=True)
    said = f"the cache of this machine ({java.name})"
    assert cleanup("-n") == {"removed": [], "found": [said], "kept": []}
    with session_lock("260101-000000000-00aa"):
        kept = cleanup()["kept"]
        assert kept == [f"{said}: in use by 1 session: 260101-000000000-00aa"]
    assert java.is_dir()
    assert cleanup()["removed"] == [said]
    assert not java.exists()
    assert other.is_dir()
    assert CliRunner().invoke(app, ["cleanup", "--cache"]).stdout == "nothing was left behind\n"


def test_this_machine_s_cache_stays_while_it_may_be_another_one_s_host(work: Path) -> None:
    sent = cache_root() / "cache" / "files" / ("0" * 64)
    sent.parent.mkdir(parents=True)
    sent.touch()
    own = sent.with_name("a user's own")
    own.touch()
    marked = cache_root() / "work" / OWNER.tag
    marked.mkdir(parents=True)
    said = "the cache of this machine (cache)"
    kept = f"{said}: in use by 1 session: {OWNER.session}"
    assert cleanup()["kept"] == [kept]
    marked.rmdir()
    value = f"{OWNER.study}/{OWNER.session}/{OWNER.cluster}"
    process = subprocess.Popen(["sleep", "60"], env={**os.environ, "BENCHCAST_OWNER": value})
    assert cleanup()["kept"] == [kept]
    process.kill()
    process.wait()
    assert sent.exists()
    assert cleanup() == {"removed": [said], "found": [said], "kept": []}
    assert [one.name for one in sent.parent.iterdir()] == [own.name]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[sshd.Sshd]:
    """One sshd."""
    pytest.importorskip("asyncssh", reason="pip install 'benchcast[ssh]'")
    with sshd.running(tmp_path / "sshd") as made:
        yield made


def test_a_study_s_hosts_lose_theirs_unless_something_marked_is_there(
    work: Path, server: sshd.Sshd
) -> None:
    folder = StudyFolder(folder=work)
    folder.quick()
    settings = server.settings(hosts=["127.0.0.1"], kind="ssh", name="rack")
    study = str(folder.write(STUDY, settings, "rack"))
    inventory = SshProvider([Entry(address=server.address())])
    hosts = inventory.scale([], spec(), OWNER)
    concrete(hosts)[0].put(work / "rack.toml", "a.toml")
    kept = cleanup(study)
    said = "the cache of host 127.0.0.1 (1 entry)"
    assert [text for text in kept["kept"] if text.startswith(f"{said}: in use by")]
    assert OWNER.session in kept["kept"][0]
    inventory.release(hosts)
    inventory.close()
    assert cleanup(study)["removed"] == [said]
    assert not (server.folder / "home" / ".cache" / "benchcast" / "cache").exists()
    assert cleanup(study) == {"removed": [], "found": [], "kept": []}


def test_of_a_host_s_folder_only_what_is_ours_goes(server: sshd.Sshd) -> None:
    inventory = SshProvider([Entry(address=server.address())], folder="data")
    place = server.folder / "home" / "data" / "cache"
    digest, name = "0" * 16, "260101-000000000-00aa"
    ours = [f"files/{'0' * 64}", f"python-{digest}/bin/python", f"uv-{digest}", f"uv-{name}"]
    ours += [f"python-{digest}.lock", f"python-{digest}.txt"]
    others = ["a b/c", "files/mine", "python-notes", "uv-index"]
    for path in (*ours, *others):
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).touch()
    (cache,) = inventory.caches()
    assert cache.describe() == "the cache of host 127.0.0.1 (6 entries)"
    cache.remove()
    left = {str(one.relative_to(place)) for one in place.rglob("*") if one.is_file()}
    assert left == set(others)
    assert list(inventory.caches()) == []
    inventory.close()
