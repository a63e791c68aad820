"""Where Benchcast keeps its own things on a machine, and the locks that say who is alive.

The work root holds what belongs to running clusters (marked, removed by ``cleanup``); the state
root holds locks: one a session (held while it lives) and, for campaigns that share a machine, one
a machine, world-wide, so that their cells take turns.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from bench.errors import StoreError


def work_root() -> Path:
    """Return the folder of this user's running clusters (created, mode 700)."""
    return _private(Path(tempfile.gettempdir()) / f"benchcast-{os.getuid()}")


def cache_root() -> Path:
    """Return the folder of digest-named things that can be made again."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "benchcast"


def keep_settings(session: str, data: bytes) -> Path:
    """Keep what a session's record must not hold, for the ``cleanup`` after its violent end."""
    path = _settings(session)
    path.touch(mode=0o600)
    path.write_bytes(data)
    return path


def kept_settings(session: str) -> bytes | None:
    """Return what was kept; None when the session ended well, or the machine was restarted."""
    try:
        return _settings(session).read_bytes()
    except FileNotFoundError:
        return None


def _settings(session: str) -> Path:
    return _private(work_root() / "locks") / f"{session}.json"


def host_id() -> str:
    """Return a hash that tells machines apart without naming them (16 hexadecimal digits)."""
    for place in (Path("/etc/machine-id"), Path("/proc/sys/kernel/random/boot_id")):
        if place.exists():
            return hashlib.sha256(b"benchcast" + place.read_bytes()).hexdigest()[:16]
    return hashlib.sha256(os.uname().nodename.encode()).hexdigest()[:16]


def _private(path: Path) -> Path:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.stat()
    if status.st_uid != os.getuid():
        raise StoreError(
            f"{path} belongs to another user", remedy="set TMPDIR to a folder of your own"
        )
    return path
