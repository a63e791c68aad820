"""Clones without the engine's Python: uv builds it on each, from the lock."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import environments
from bench.contracts import Engine
from bench.engines import ENGINES
from bench.engines.tensorflow.engine import TensorFlowEngine
from bench.environments.vsphere.environment import VsphereEnvironment
from bench.environments.vsphere.removal import owned
from bench.errors import LaunchFailed
from bench.hosts import python_env
from bench.hosts.channel import AgentChannel
from bench.hosts.host import Host
from bench.records.cluster import ClusterSpec, Owner
from bench.records.study import EnvironmentSpec, Shape
from tests.conftest import absent
from tests.labs import hosts as lab_hosts
from tests.labs.clones import site
from tests.labs.vcenter import missing

pytest.importorskip("pyVmomi", reason="pip install 'benchcast[vsphere]'")
pytest.importorskip("asyncssh", reason="pip install 'benchcast[ssh]'")
pytestmark = [pytest.mark.lab, pytest.mark.alone]

OWNER = Owner(study="clones", session="260101-000000000-00aa", cluster="c1")
SMALL = Shape(memory=256 << 20)
NEED = ClusterSpec(engine="tensorflow", workers=2, worker=SMALL, driver=SMALL)


@pytest.fixture
def there(tmp_path: Path) -> Iterator[VsphereEnvironment]:
    """Clones of a template whose study names no Python."""
    if reason := missing() or lab_hosts.missing():
        absent(f"the lab ({reason})", "make lab")
    with site(tmp_path) as place:
        ssh = {"user": "root", "key": str(place.hooks.key)}
        spec = EnvironmentSpec(name="dc0", kind="vsphere", settings=place.settings(ssh=ssh))
        made = environments.build(spec)
        assert isinstance(made, VsphereEnvironment)
        yield made
        assert not owned(made.clones.vcenter, 30)


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the one package that the lock asks for."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel = folder / "thing-1.0-py3-none-any.whl"
    info = "thing-1.0.dist-info"
    files = {
        "thing.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{name},sha256={_record(text)},{len(text)}" for name, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]) + "\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    known = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = f"thing==1.0 \\\n    --hash=sha256:{known}\n"
    monkeypatch.setattr(python_env, "lock_text", lambda: lock)
    monkeypatch.setattr(TensorFlowEngine, "lock_roots", ("thing",))
    python_env.requirements.cache_clear()
    yield folder
    python_env.requirements.cache_clear()


def _record(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def test_the_environment_is_built_on_every_clone(there: VsphereEnvironment, wheels: Path) -> None:
    hosts = there.clones.scale([], NEED, OWNER)
    for host in hosts:
        assert isinstance(host, Host)
        config = Path(str(host.channel.greeting["home"])) / ".config" / "uv" / "uv.toml"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(f'no-index = true\nfind-links = ["{wheels}"]\n')
    there.clones.install_engine(hosts, ENGINES["tensorflow"])
    for host in hosts:
        assert isinstance(host, Host)
        assert Path(host.python).is_relative_to(host.cache)
        assert host.spawn("import", [host.python, "-c", "import thing"], {}).wait(60) == 0
    caches = {host.cache for host in hosts if isinstance(host, Host)}
    assert len(caches) == NEED.workers  # the driver stands beside worker 0
    there.clones.release(hosts)


def test_a_clone_where_it_cannot_be_built_is_named_and_all_go(
    there: VsphereEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(channel: AgentChannel, cache: Path, engine: Engine) -> None:
        raise LaunchFailed(f"host {channel.name}: no Python environment for {engine.name}: why")

    monkeypatch.setattr(python_env, "_build", refuse)
    with pytest.raises(LaunchFailed, match=r"host benchcast-.*-\d: no Python environment"):
        there.open(NEED, OWNER)
    assert there.machines(NEED) == 2
