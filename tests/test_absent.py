"""An absent peer: skipped at home, failed in CI unless the lab said that it cannot be here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import absent
from tests.labs import hosts, unavailable, vcenter


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unavailable, "PLACE", tmp_path / "lab" / "cannot.json")


def test_at_home_it_skips_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"chromium is absent: make browser"):
        absent("chromium", "make browser")


def test_in_ci_only_what_the_lab_noted_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    told = {
        "chromium": pytest.fail.Exception,
        f"{unavailable.HOSTS} (no root)": pytest.fail.Exception,
        f"{unavailable.VCENTER} (no Go)": pytest.skip.Exception,
        "the lab (no Go)": pytest.skip.Exception,
    }
    for peer in told:
        with pytest.raises(pytest.fail.Exception):
            absent(peer, "make lab")
    unavailable.tell(unavailable.VCENTER, "no Go")
    for peer, raised in told.items():
        with pytest.raises(raised):
            absent(peer, "make lab")
    unavailable.tell(unavailable.VCENTER, None)
    with pytest.raises(pytest.fail.Exception):
        absent(f"{unavailable.VCENTER} (no Go)", "make lab")


def test_another_machine_s_note_says_nothing() -> None:
    unavailable.tell(unavailable.HOSTS, "no root")
    told = json.loads(unavailable.PLACE.read_text())
    unavailable.PLACE.write_text(json.dumps({**told, "machine": "another"}))
    assert unavailable.read() == {}


def test_the_lab_notes_what_cannot_be_and_no_mere_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(hosts, "install", lambda: "hosts: apt-get update failed")
    monkeypatch.setattr(hosts, "impossible", lambda: None)
    assert hosts.main([]) == 0
    assert unavailable.read() == {}
    monkeypatch.setattr(hosts, "impossible", lambda: "they need root")
    assert hosts.main([]) == 0
    assert unavailable.read() == {unavailable.HOSTS: "they need root"}
    monkeypatch.setattr(vcenter, "build", lambda: "go build failed: no network")
    monkeypatch.setattr(vcenter, "PROGRAM", tmp_path / "none")
    monkeypatch.setattr("shutil.which", lambda name, **_: f"/bin/{name}")
    assert vcenter.main() == 0
    assert set(unavailable.read()) == {unavailable.HOSTS}
    monkeypatch.setattr("shutil.which", lambda name, **_: None)
    assert vcenter.main() == 0
    assert set(unavailable.read()) == {unavailable.HOSTS, unavailable.VCENTER}


def test_what_is_missing_but_can_be_installed_is_not_impossible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.getuid", lambda: 1000)
    assert hosts.impossible() == "hosts in network namespaces need root"
    monkeypatch.setattr("os.getuid", lambda: 0)
    monkeypatch.setattr(hosts, "_which", lambda name: "/apt" if name == "apt-get" else None)
    assert hosts.impossible() is None
    monkeypatch.setattr(hosts, "_which", lambda name: None)
    assert hosts.impossible() == "sshd, ip, tc, openssl not installed, and no apt-get"
