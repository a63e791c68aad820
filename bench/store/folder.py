"""A study's results folder: its sessions' files, and a folder for each run."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.errors import StoreError
from bench.locks import file_lock, try_acquire
from bench.records.results import (
    Session,
)
from bench.store.journal import Journal, _fsync, storage_errors
from bench.store.reader import Results, _read_file


class Store:
    """A study's results folder."""

    def __init__(self, root: Path) -> None:
        """``root`` is ``results/<study>``; it need not exist yet."""
        self.root = root

    def read(self) -> Results:
        """Read every session's file; StoreError for a newer schema or a corrupt line."""
        results = Results()
        enabled = gc.isenabled()
        gc.disable()  # millions of young objects, none of them garbage
        try:
            for path in sorted(self.root.glob("*.jsonl")):
                _read_file(path, results)
        finally:
            if enabled:
                gc.enable()
        results.settle()
        return results

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder for one ``run``; StoreError if another has it or it is read-only."""
        lock = file_lock(self.root / ".lock")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            taken = try_acquire(lock)
            probe = self.root / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"results folder {self.root} cannot be written ({error.strerror})",
                remedy="choose another with --results, or fix its permissions",
            ) from error
        if not taken:
            raise StoreError(
                f"another run uses {self.root}",
                remedy="wait for it, or choose another folder with --results",
            )
        try:
            yield
        finally:
            lock.release()

    def journal(self, session: Session) -> Journal:
        """Start this session's file with its first line."""
        journal = Journal(self.root / f"{session.session}.jsonl")
        journal.write(session)
        return journal

    def folder(self, run: str) -> Path:
        """Return the folder of a run's files."""
        return self.root / run

    def partial(self, run: str) -> Path:
        """Create the temporary folder of a run, which ``keep`` renames."""
        folder = self.root / f".partial-{run}"
        with storage_errors(folder):
            folder.mkdir(parents=True)
        return folder

    def complete(self, run: str) -> None:
        """Fsync the partial folder and rename it into place."""
        partial = self.root / f".partial-{run}"
        with storage_errors(partial):
            for path in (*partial.rglob("*"), partial):
                _fsync(path)
            partial.rename(self.folder(run))
            _fsync(self.root)

    def discard(self, run: str) -> None:
        """Delete the folders of a run that has no line."""
        for folder in self._folders(run):
            if folder.exists():
                shutil.rmtree(folder)

    def has_folder(self, run: str) -> bool:
        """Return whether a run left a folder, whole or not."""
        return any(folder.exists() for folder in self._folders(run))

    def _folders(self, run: str) -> tuple[Path, Path]:
        return self.root / f".partial-{run}", self.folder(run)
