"""The first line of a session's file."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import msgspec

from bench.directories import host_id
from bench.engines import ENGINES
from bench.ids import new_id, utc_now
from bench.records.results import Session
from bench.records.study import Study

PACKAGES = ("numpy", "pyarrow", *(p for engine in ENGINES.values() for p in engine.distributions))


def new_session(study: Study, folder: Path, campaign: str | None) -> Session:
    """Return a session that starts now.

    ``folder`` is the study file's; ``campaign`` is the id to continue, or None for a new one.
    """
    session = new_id()
    commit, dirty = _commit(folder)
    recorded = tuple(spec.for_record() for spec in study.environments)
    return Session(
        session=session,
        campaign=campaign or session,
        study=msgspec.structs.replace(study, environments=recorded, cases=()),
        started_at=utc_now(),
        host=host_id(),
        benchcast=_version("benchcast") or "unknown",
        commit=commit,
        dirty=dirty,
        lock=_lock_digest(folder),
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        version = _version(package)
        if version is not None:
            versions[package] = version
    return versions


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit(folder: Path) -> tuple[str | None, bool | None]:
    """Return the study's commit and whether its repository has changes; None if there is none."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None, None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return commit, None if changes is None else bool(changes)


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode().strip()


def _lock_digest(folder: Path) -> str | None:
    for parent in (folder, *folder.parents):
        lock = parent / "requirements.lock"
        if lock.is_file():
            return hashlib.sha256(lock.read_bytes()).hexdigest()
    return None
