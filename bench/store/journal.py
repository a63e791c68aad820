"""Writes a session's file: whole lines, each on the disk when written."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.errors import StorageFailed
from bench.records.results import (
    Bundle,
    CaseLine,
    Line,
    Machine,
)


class Journal:
    """A session's file: whole lines, each on the disk when ``write`` returns; for any thread."""

    def __init__(self, path: Path) -> None:
        """Create the file; it must not exist."""
        self.path = path
        self._lock = threading.RLock()
        with storage_errors(path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(path, flags, 0o644)
            _fsync(path.parent)
        self._written: set[str] = set()

    def write(self, line: Line) -> None:
        """Append one line; StorageFailed if the disk does not store it whole."""
        data = _encoder.encode(line) + b"\n"
        with self._lock, storage_errors(self.path):
            written = os.write(self._fd, data)
            if written < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._fd)

    def once(self, line: Machine | Bundle | CaseLine) -> None:
        """Append a machine, a bundle or a case, unless this file has it already."""
        with self._lock:
            if line.digest not in self._written:
                self._written.add(line.digest)
                self.write(line)

    def close(self) -> None:
        """Close the file; later lines are refused (StorageFailed)."""
        with self._lock:
            os.close(self._fd)
            self._fd = -1


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's errors into StorageFailed."""
    try:
        yield
    except OSError as error:
        raise StorageFailed(
            f"{path.name}: results cannot be written ({error.strerror})",
            remedy="free space or fix the folder, then run again: it continues where it stopped",
        ) from error


_encoder = msgspec.json.Encoder()


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
