"""The agent's requests about files and folders, and short commands: standard library only."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import subprocess
import time
from typing import Any

from bench.hosts.agent.machine import text_of

FILES = "files"  # a cache's folder of sent files, each named by its SHA-256
_SENT = re.compile(r"[0-9a-f]{64}")
_BUILT = re.compile(r"(python|uv)-[0-9a-f]{16}(\.lock|\.txt)?|uv-\d{6}-\d{9}-[0-9a-f]{4}")


def create(folder: str, owner: str) -> None:
    """Make a host's folder below the owner's, with ``owner`` (JSON) as the first file."""
    parent = os.path.dirname(folder)
    os.makedirs(parent, mode=0o700, exist_ok=True)
    with open(f"{parent}/owner.json", "w", encoding="utf-8") as file:
        file.write(owner)
    os.makedirs(f"{folder}/tmp", mode=0o700, exist_ok=True)  # noqa: S108 - below its own folder


def folder(path: str, least: int) -> None:
    """Make a private folder; raise ENOSPC if fewer than ``least`` bytes are free there."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    if free(path) < least:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def free(path: str) -> int:
    """Return the free bytes on the disk of a path, which need not exist."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return shutil.disk_usage(path).free


def files(path: str) -> list[str] | None:
    """Return relative paths of the files below a folder; None for a file; OSError if missing."""
    if not os.path.isdir(path):
        os.stat(path)
        return None
    return sorted(
        os.path.relpath(os.path.join(top, name), path)
        for top, _, names in os.walk(path)
        for name in names
        if os.path.isfile(os.path.join(top, name))
    )


def remove(path: str) -> None:
    """Remove a folder, also while a dying process still writes into it."""
    for _ in range(20):
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.exists(path):
            return
        time.sleep(0.05)
    shutil.rmtree(path)


def cached(path: str) -> list[str]:
    """Return the names in a cache that Benchcast made; other files of the user are ignored."""
    sent = [FILES] if _named(f"{path}/{FILES}", _SENT) else []
    return sent + _named(path, _BUILT)


def clear_cache(path: str) -> None:
    """Remove what Benchcast made in a cache, then empty folders."""
    inside = f"{path}/{FILES}"
    for top, pattern in ((inside, _SENT), (path, _BUILT)):
        for name in _named(top, pattern):
            entry = f"{top}/{name}"
            if os.path.isdir(entry) and not os.path.islink(entry):
                remove(entry)
            else:
                os.unlink(entry)
    for top in (inside, path):
        if os.path.isdir(top) and not os.path.islink(top) and not os.listdir(top):
            os.rmdir(top)


def _named(path: str, pattern: re.Pattern[str]) -> list[str]:
    names = sorted(os.listdir(path)) if os.path.isdir(path) else []
    return [name for name in names if pattern.fullmatch(name)]


def remove_if_empty(path: str) -> None:
    """Remove an owner's folder when no numbered folder of a host is left in it."""
    if os.path.isdir(path) and not any(name.isdigit() for name in os.listdir(path)):
        remove(path)


def folders(root: str) -> dict[str, str]:
    """Return owner's folder -> text of its owner.json (empty if it is torn)."""
    names = sorted(os.listdir(root)) if os.path.isdir(root) else []
    return {
        name: text_of(f"{root}/{name}/owner.json")
        for name in names
        if os.path.isdir(f"{root}/{name}")
    }


def identity(path: str) -> str:
    """Return device and inode of a path (equal for two names of one file), else the path."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return path
    return f"{status.st_dev}:{status.st_ino}"


def copy_from_cache(cache: str, digest: str, target: str, fresh: str | None = None) -> bool:
    """Copy the cached file with this sha256 to ``target``; False if there is none.

    ``fresh`` is a file that has just arrived: it moves into the cache if its digest is right.
    """
    stored = f"{cache}/{digest}"
    if fresh is not None and os.path.exists(fresh):
        with open(fresh, "rb") as file:
            if hashlib.sha256(file.read()).hexdigest() != digest:
                raise OSError(errno.EIO, "the file arrived damaged", target)
        os.makedirs(cache, mode=0o700, exist_ok=True)
        os.replace(fresh, stored)
    if not os.path.exists(stored):
        return False
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copyfile(stored, target)
    return True


def run(argv: list[str], seconds: float) -> list[Any]:
    """Run a short command; return exit code and output (both streams)."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return [124, ""]
    except FileNotFoundError:
        return [127, ""]
    return [done.returncode, done.stdout.decode("utf-8", "replace")]
