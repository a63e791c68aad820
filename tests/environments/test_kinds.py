"""Kinds of environment: ours and other packages', and what records hold of their settings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from bench import environments, study, workloads
from bench.errors import StudyError
from bench.records.study import EnvironmentSpec, Study
from bench.runner.session import new_session
from bench.settings import KindSettings, setting, setting_uses
from tests.jobs import spec

PLUGIN = """
from typing import Annotated

from bench.contracts import Environment
from bench.settings import KindSettings, setting

KIND = "{kind}"


class Settings(KindSettings, frozen=True, kw_only=True):
    nodes: Annotated[int, setting(keyed=True)] = 2
    token: Annotated[str, setting()] = ""


class Elsewhere(Environment):
    kind = KIND

    def open(self, spec, owner):
        raise NotImplementedError

    def owned(self):
        return ()


def build(spec):
    Settings.of(spec)
    return Elsewhere()
"""
STUDY = """
title = "T"
workers = 1
[[workload]]
use = "tensorflow-logistic-regression"
dataset = "synthetic"
[[environment]]
"""
SSH = """
kind = "ssh"
user = "jane"
key = "/home/jane/.ssh/id_jane"
known_hosts = "/home/jane/known"
passphrase = { env = "JANES_PASSPHRASE" }
hosts = ["a", { address = "b", user = "john", key = "/home/john/id", cores = 4 }]
"""
VSPHERE = """
kind = "vsphere"
vcenter = "vc.example"
user = "jane"
password = { file = "/home/jane/secret" }
ca = "/home/jane/ca.pem"
datacenter = "dc"
cluster = "c"
template = "golden"
ssh = { user = "jane", key = "/home/jane/.ssh/id", known_hosts = "/home/jane/known" }
"""


def install(site: Path, kind: str, text: str) -> None:
    """Put a package that brings a kind into a folder of packages."""
    name = kind.replace("-", "_")
    (site / f"{name}_kind.py").write_text(text)
    info = site / f"benchcast_{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: benchcast-{kind}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[benchcast.environments]\n{kind} = {name}_kind\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of packages that Python finds."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for path in folder.glob("*.py"):
        sys.modules.pop(path.stem, None)


def load(folder: Path, entry: str) -> Study:
    path = folder / "mine.toml"
    path.write_text(STUDY + entry)
    return study.load(path, environments.kinds(), workload=workloads.manifest)


def test_a_kind_of_another_package_is_used_like_ours(site: Path, tmp_path: Path) -> None:
    install(site, "my-cloud", PLUGIN.format(kind="my-cloud"))
    assert "my-cloud" in environments.kinds()
    (found,) = load(tmp_path, 'kind = "my-cloud"\nnodes = 3\ntoken = "t"').environments
    assert (found.keyed, found.for_record().settings) == ({"nodes": 3}, {"nodes": 3})
    with environments.build(found) as built:
        assert (built.kind, built.machines(spec("spark", 3))) == ("my-cloud", 3)
        assert (built.check(spec("spark", 3)), built.owned()) == ((), ())
    assert environments.identity(found) == {}
    with pytest.raises(StudyError, match="did you mean 'my-cloud'"):
        load(tmp_path, 'kind = "my-cluod"')


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ('KIND = "other"', "AttributeError: KIND = 'other', not 'broken'"),
        ('KIND = "broken"', "has no attribute 'build'"),
        ('KIND = "broken"\nSettings = build = dict', "its Settings is not a KindSettings"),
    ],
)
def test_a_broken_package_is_one_error_and_harms_no_other(
    site: Path, tmp_path: Path, text: str, why: str
) -> None:
    install(site, "broken", text)
    assert load(tmp_path, 'kind = "local"').environments[0].kind == "local"
    with pytest.raises(StudyError) as caught:
        load(tmp_path, 'kind = "broken"')
    assert str(caught.value).startswith("the kind 'broken' of the package benchcast-broken cannot")
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_package_takes_the_place_of_ours(site: Path) -> None:
    ours = environments.kinds()["local"]
    install(site, "local", PLUGIN.format(kind="local"))
    assert environments.kinds()["local"] is ours
    assert len(set(environments.kinds())) == len(environments.kinds()) == len(environments.KINDS)


def test_only_this_machine_is_shared_and_an_absent_kind_shares_nothing() -> None:
    shared = [kind for kind in environments.KINDS if environments.shares_machine(kind)]
    assert shared == ["local"]
    assert not environments.shares_machine("not-installed")


@pytest.mark.parametrize("kind", environments.KINDS)
def test_every_setting_says_what_it_is_for(kind: str) -> None:
    missing = [path for path, use in setting_uses(environments.kinds()[kind]) if use is None]
    assert missing == []


def test_a_secret_is_in_no_record_and_what_is_not_said_is_private() -> None:
    with pytest.raises(TypeError, match="a secret is neither keyed nor recorded"):
        setting(secret=True, recorded=True)
    assert setting() == setting(keyed=False, recorded=False)
    assert setting(keyed=True).recorded


@pytest.mark.parametrize("entry", [SSH, VSPHERE])
def test_a_record_holds_no_person_no_path_and_no_place_of_a_secret(
    entry: str, tmp_path: Path
) -> None:
    whole = load(tmp_path, entry)
    assert "jane" in str(whole.environments[0].settings)
    record = msgspec.json.encode(new_session(whole, tmp_path, None)).decode()
    for word in ("jane", "john", "JANES", "/home", "known", "secret", "id_jane", "ca.pem"):
        assert word not in record
    keyed = str(whole.environments[0].keyed)
    assert "'a'" in keyed or "vc.example" in keyed


def test_a_struct_without_setting_uses_records_nothing() -> None:
    class Careless(KindSettings, frozen=True, kw_only=True):
        password: str = "hunter2"
        nodes: Annotated[int, setting(recorded=True)] = 1

    from bench.settings import keyed, recorded

    assert (recorded(Careless()), keyed(Careless())) == ({"nodes": 1}, {})
    assert EnvironmentSpec(name="a", kind="b").for_record().settings == {}
