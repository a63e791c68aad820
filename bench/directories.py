"""Benchcast's own folders on a machine.

The work root, below the temporary folder, contains the tagged folders of running clusters, which
``cleanup`` removes. The state root is the same for every shell: it contains the sessions' locks
and settings, and links to the work roots.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from bench.errors import StoreError


def work_root() -> Path:
    """Return the folder of this user's running clusters (created, mode 700)."""
    root = _private(Path(tempfile.gettempdir()) / f"benchcast-{os.getuid()}", "TMPDIR")
    link = _work_links() / hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    if not link.is_symlink():
        partial = link.with_name(f".{link.name}-{os.getpid()}")
        partial.symlink_to(root)
        partial.rename(link)
    return root


def work_roots() -> list[Path]:
    """Return every work root of this user on this machine, for any TMPDIR."""
    roots = {work_root()}
    for link in _work_links().iterdir():
        if link.is_dir() and link.stat().st_uid == os.getuid():
            roots.add(link.readlink())
        elif not link.exists():  # the temporary folder is gone, with its content
            link.unlink(missing_ok=True)
    return sorted(roots)


def state_root() -> Path:
    """Return the folder of this user's locks and settings (created, mode 700)."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return _private(Path(base) / "benchcast", "XDG_STATE_HOME")


def sessions_folder() -> Path:
    """Return the folder of the sessions' own files: ``SESSION.lock`` and ``SESSION.json``."""
    return _private(state_root() / "sessions", "XDG_STATE_HOME")


def cache_root() -> Path:
    """Return the folder of the content-addressed cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "benchcast"


def host_id() -> str:
    """Return a hash that tells machines apart without naming them (16 hexadecimal digits)."""
    for file in (Path("/etc/machine-id"), Path("/proc/sys/kernel/random/boot_id")):
        if file.exists():
            return hashlib.sha256(b"benchcast" + file.read_bytes()).hexdigest()[:16]
    return hashlib.sha256(os.uname().nodename.encode()).hexdigest()[:16]


def _work_links() -> Path:
    """Return the folder of links to work roots; a link's name is a digest of its target."""
    return _private(state_root() / "work-roots", "XDG_STATE_HOME")


def _private(path: Path, variable: str) -> Path:
    """Create a folder for this user alone; StoreError names the variable that moves it."""
    remedy = f"set {variable} to a folder of your own"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except OSError as error:
        raise StoreError(f"{path} cannot be created ({error.strerror})", remedy=remedy) from error
    if status.st_uid != os.getuid():
        raise StoreError(f"{path} belongs to another user", remedy=remedy)
    return path
