"""The wheel: one top-level name, workloads and studies inside it as data, nothing else."""

import ast
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import bench

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = {"workloads": "bench/_workloads", "studies": "bench/_studies"}
LOCK = "bench/_requirements.lock"
RUBBISH = ("__pycache__", ".pyc", ".pyo", ".egg-info", ".DS_Store", "spark-warehouse", "derby.log")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def checkout_files(folder: str) -> dict[str, str]:
    """Relative path -> sha256 of every file of the checkout's folder that belongs into the wheel.

    What git ignores is not counted; outside a git checkout only rubbish is left out.
    """
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", folder],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listing.returncode == 0:
        paths = [ROOT / line for line in listing.stdout.splitlines()]
    else:
        paths = list((ROOT / folder).rglob("*"))
    return {
        path.relative_to(ROOT / folder).as_posix(): digest(path.read_bytes())
        for path in paths
        if path.is_file() and not any(word in path.as_posix() for word in RUBBISH)
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel in a process of its own, with the locked hatchling."""
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def shipped(wheel: Path) -> dict[str, str]:
    """Path in the wheel -> sha256."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: digest(archive.read(name)) for name in archive.namelist()}


def test_only_top_level_name_is_bench(shipped: dict[str, str]) -> None:
    info = f"benchcast-{bench.__version__}.dist-info"
    assert {name.split("/")[0] for name in shipped} == {"bench", info}


def test_wheel_says_command_licence_and_types(wheel: Path, shipped: dict[str, str]) -> None:
    info = f"benchcast-{bench.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        assert "benchcast = bench.cli:main" in archive.read(f"{info}/entry_points.txt").decode()
        metadata = archive.read(f"{info}/METADATA").decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert f"{info}/licenses/LICENSE" in shipped
    assert "bench/py.typed" in shipped


def test_no_rubbish_is_shipped(shipped: dict[str, str]) -> None:
    assert not [name for name in shipped for word in RUBBISH if word in name]


@pytest.mark.parametrize("folder", SHIPPED)
def test_data_is_shipped_whole_and_unchanged(folder: str, shipped: dict[str, str]) -> None:
    """Equal files make equal bundle digests from wheel and checkout."""
    prefix = SHIPPED[folder] + "/"
    inside = {
        name.removeprefix(prefix): value
        for name, value in shipped.items()
        if name.startswith(prefix)
    }
    assert inside == checkout_files(folder)
    assert inside, f"{folder}/ is empty"


def test_every_module_of_bench_is_shipped(shipped: dict[str, str]) -> None:
    inside = {
        name: value
        for name, value in shipped.items()
        if name.startswith("bench/") and not name.startswith((LOCK, *SHIPPED.values()))
    }
    assert shipped[LOCK] == digest((ROOT / "requirements.lock").read_bytes())
    assert inside == {f"bench/{path}": value for path, value in checkout_files("bench").items()}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "workloads").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_a_workload_never_imports_bench(path: Path) -> None:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    assert "bench" not in names


@pytest.mark.parametrize("folder", ["results", "reports"])
def test_data_folders_are_no_packages(folder: str) -> None:
    assert not list((ROOT / folder).rglob("__init__.py"))


def test_importing_bench_is_cheap() -> None:
    code = "import sys; before = set(sys.modules); import bench; print(*set(sys.modules) - before)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {name.split(".")[0] for name in loaded} == {"bench"}
