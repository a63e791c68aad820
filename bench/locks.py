"""Locks that say who is alive, and whose turn it is on this machine."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from bench.directories import _private, work_root


def session_lock(session: str) -> FileLock:
    """Return the lock that a session holds while it lives."""
    return FileLock(_private(work_root() / "locks") / f"{session}.lock")


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
