"""Where Benchcast keeps its own things on a machine, and the locks that say who is alive.

The work root holds what belongs to running clusters (marked, removed by ``cleanup``); the state
root holds locks: one a session (held while it lives) and, for campaigns that share a machine, one
a machine, world-wide, so that their cells take turns.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from bench.errors import StoreError


def work_root() -> Path:
    """Return the folder of this user's running clusters (created, mode 700)."""
    return _private(Path(tempfile.gettempdir()) / f"benchcast-{os.getuid()}")


def cache_root() -> Path:
    """Return the folder of digest-named things that can be made again."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "benchcast"


def session_lock(session: str) -> FileLock:
    """Return the lock that a session holds while it lives."""
    return FileLock(_private(work_root() / "locks") / f"{session}.lock")


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


def machine_lock() -> FileLock:
    """Return the lock that cells on this machine take in turn, whoever runs them."""
    return FileLock(Path(tempfile.gettempdir()) / "benchcast-machine.lock", mode=0o666)


def session_alive(session: str) -> bool:
    """Return whether a session of this user on this machine still lives."""
    path = work_root() / "locks" / f"{session}.lock"
    if not path.exists():
        return False
    lock = FileLock(path)
    if not lock.acquire(timeout=0):
        return True
    lock.release()
    return False


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


class FileLock:
    """An advisory lock on a file; it is gone when its process is, however that ends."""

    def __init__(self, path: Path, mode: int = 0o600) -> None:
        """Keep the path; nothing is opened yet."""
        self.path = path
        self._mode = mode
        self._file: IO[bytes] | None = None

    def acquire(self, timeout: float | None = None) -> bool:
        """Take it within ``timeout`` seconds (None: however long); False when it is taken."""
        end = None if timeout is None else time.monotonic() + timeout
        handle = self._open()
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    handle.close()
                    raise
                if end is not None and time.monotonic() >= end:
                    handle.close()
                    return False
                time.sleep(0.05)
                continue
            self._file = handle
            return True

    def release(self) -> None:
        """Give it back; the file stays, because another may be waiting on it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Give it back and delete the file: for locks that nobody waits on."""
        self.path.unlink(missing_ok=True)
        self.release()

    def _open(self) -> IO[bytes]:
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, self._mode)
        if self._mode == 0o666 and os.fstat(fd).st_uid == os.getuid():
            os.fchmod(fd, self._mode)
        return os.fdopen(fd, "r+b")

    def __enter__(self) -> Self:
        """Take it, however long it takes."""
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give it back."""
        self.release()
