"""Locks that show which sessions live, and that let campaigns on this machine take turns.

A lock ends with its process, however that ends. No lock depends on TMPDIR: a shell, a cron job and
a campaign with different temporary folders see the same locks.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from filelock import FileLock, Timeout

from bench.directories import sessions_folder, state_root

LOCKS = "BENCHCAST_LOCKS"  # a folder for the machine's lock, such as a folder that containers share
SHARED = (Path("/run/lock"), Path("/var/lock"), Path("/dev/shm"))  # noqa: S108 - only sticky ones
_MACHINE = "benchcast-machine.lock"


def file_lock(path: Path, mode: int = 0o600) -> FileLock:
    """Return a lock on a file; any thread may release what another acquired."""
    return FileLock(path, mode=mode, thread_local=False)


def try_acquire(lock: FileLock) -> bool:
    """Acquire a lock if it is free; return whether it was."""
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    return True


def delete_lock(lock: FileLock) -> None:
    """Delete a lock's file and release it; nobody may be waiting for it."""
    Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()


def session_lock(session: str) -> FileLock:
    """Return the lock that a session holds while it lives."""
    return file_lock(sessions_folder() / f"{session}.lock")


def session_alive(session: str) -> bool:
    """Return whether a session of this user on this machine is alive."""
    path = sessions_folder() / f"{session}.lock"
    if not path.exists():
        return False
    lock = file_lock(path)
    if not try_acquire(lock):
        return True
    lock.release()
    return False


def living_sessions() -> list[str]:
    """Return the living sessions of this user on this machine."""
    names = sorted(path.stem for path in sessions_folder().glob("*.lock"))
    return [name for name in names if session_alive(name)]


def machine_lock() -> FileLock:
    """Return the lock that the cells of all users on this machine take in turn."""
    return file_lock((_shared_folder() or state_root()) / _MACHINE, mode=0o666)


def machine_lock_is_shared() -> bool:
    """Return whether other users of this machine see the same machine lock."""
    return _shared_folder() is not None


def _shared_folder() -> Path | None:
    """Return the first folder where every user may write, and delete only own files."""
    if named := os.environ.get(LOCKS):
        return Path(named)
    for folder in SHARED:
        try:
            mode = folder.stat().st_mode
        except OSError:
            continue
        if stat.S_ISDIR(mode) and mode & stat.S_ISVTX and mode & stat.S_IWOTH:
            return folder
    return None
