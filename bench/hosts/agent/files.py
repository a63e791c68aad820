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

FILES = "files"  # of a cache: what was sent, each file named by its SHA-256
_SENT = re.compile(r"[0-9a-f]{64}")
_BUILT = re.compile(r"(python|uv)-[0-9a-f]{16}(\.lock|\.txt)?|uv-\d{6}-\d{9}-[0-9a-f]{4}")


def create(folder: str, owner: str) -> None:
    """Make a host's folder below the owner's; what ``owner`` says is written before all else."""
    parent = os.path.dirname(folder)
    os.makedirs(parent, mode=0o700, exist_ok=True)
    with open(f"{parent}/owner.json", "w", encoding="utf-8") as file:
        file.write(owner)
    os.makedirs(f"{folder}/tmp", mode=0o700, exist_ok=True)


def folder(path: str, least: int) -> None:
    """Make a folder of this user alone; refuse when fewer than ``least`` bytes are free there."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    if free(path) < least:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def free(path: str) -> int:
    """Return the bytes free where a path is, or would be."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return shutil.disk_usage(path).free


def files(path: str) -> list[str] | None:
    """Return the files below a folder, relative; None for a file; OSError when there is none."""
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
    """Return the names in a cache that are ours: the folder may hold a user's own things too."""
    sent = [FILES] if _named(f"{path}/{FILES}", _SENT) else []
    return sent + _named(path, _BUILT)


def clear_cache(path: str) -> None:
    """Remove from a cache what is named as ours, then the folders that are empty."""
    inside = f"{path}/{FILES}"
    for top, pattern in ((inside, _SENT), (path, _BUILT)):
        for name in _named(top, pattern):
            one = f"{top}/{name}"
            if os.path.isdir(one) and not os.path.islink(one):
                remove(one)
            else:
                os.unlink(one)
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
    """Return an owner's folder -> what its owner.json says (empty where it was torn)."""
    names = sorted(os.listdir(root)) if os.path.isdir(root) else []
    return {
        name: text_of(f"{root}/{name}/owner.json")
        for name in names
        if os.path.isdir(f"{root}/{name}")
    }


def identity(path: str) -> str:
    """Return device and inode of a path (equal for two names of one thing), or its name."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return path
    return f"{status.st_dev}:{status.st_ino}"


def copy_from_cache(cache: str, digest: str, target: str, fresh: str | None = None) -> bool:
    """Copy the kept file of this sha256 to ``target``; False when there is none.

    ``fresh`` is such a file, just written: it becomes the kept one, unless it is another.
    """
    kept = f"{cache}/{digest}"
    if fresh is not None and os.path.exists(fresh):
        with open(fresh, "rb") as file:
            if hashlib.sha256(file.read()).hexdigest() != digest:
                raise OSError(errno.EIO, "it arrived as another file", target)
        os.makedirs(cache, mode=0o700, exist_ok=True)
        os.replace(fresh, kept)
    if not os.path.exists(kept):
        return False
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copyfile(kept, target)
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
