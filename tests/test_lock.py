"""requirements.lock says the same as pyproject.toml, with hashes, and names no index."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
MACHINES = [
    {"sys_platform": "linux", "platform_machine": "x86_64", "python_version": "3.11"},
    {"sys_platform": "linux", "platform_machine": "aarch64", "python_version": "3.13"},
    {"sys_platform": "darwin", "platform_machine": "arm64", "python_version": "3.12"},
]


def wanted() -> Iterator[tuple[str, Requirement]]:
    """Every requirement of pyproject.toml, with the table that it stands in."""
    project = PROJECT["project"]
    tables: dict[str, list[str]] = {
        "dependencies": project["dependencies"],
        **project["optional-dependencies"],
        **PROJECT["dependency-groups"],
    }
    for table, lines in tables.items():
        for line in lines:
            yield table, Requirement(line)


def blocks() -> list[str]:
    """The lock's entries: a requirement with its hash lines, comments left out."""
    lines = [line for line in LOCK.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip()]


def locked() -> list[Requirement]:
    return [Requirement(block.split("--hash=")[0].strip()) for block in blocks()]


def applies(marker: Marker | None, machine: dict[str, str]) -> bool:
    return marker is None or marker.evaluate(dict(machine))


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: "-".join(m.values()))
@pytest.mark.parametrize(("table", "want"), list(wanted()), ids=str)
def test_every_dependency_is_locked(table: str, want: Requirement, machine: dict[str, str]) -> None:
    if not applies(want.marker, machine):
        return
    found = [
        entry
        for entry in locked()
        if canonicalize_name(entry.name) == canonicalize_name(want.name)
        and applies(entry.marker, machine)
    ]
    remedy = f"{want} of [{table}]: run `make lock`"
    assert len(found) == 1, remedy
    (pin,) = found[0].specifier
    assert pin.operator == "==", remedy
    assert want.specifier.contains(Version(pin.version), prereleases=True), remedy


def test_every_entry_has_hashes() -> None:
    bare = [block for block in blocks() if not re.search(r"--hash=sha256:[0-9a-f]{64}", block)]
    assert not bare


def test_no_entry_has_two_versions() -> None:
    names = [canonicalize_name(entry.name) for entry in locked()]
    assert sorted(names) == sorted(set(names))


def test_no_address_and_no_local_path() -> None:
    assert not re.findall(
        r"\S*://\S*|^--?(?:i|f|index-url|extra-index-url|find-links).*", LOCK, re.M
    )
    assert not [line for line in blocks() if " @ " in line or line.startswith(("-e", ".", "/"))]


def test_build_requirements_are_locked_too() -> None:
    names = {canonicalize_name(entry.name) for entry in locked()}
    for line in PROJECT["build-system"]["requires"]:
        assert canonicalize_name(Requirement(line).name) in names
