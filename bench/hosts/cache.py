"""The digest-named cache of bundles and Python environments: nobody's, removed only on demand."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, runtime_checkable

from bench.errors import LaunchFailed
from bench.hosts.link import Link
from bench.places import cache_root, session_alive, work_root
from bench.units import plural

_DIGEST = re.compile(r"[a-z]+-[0-9a-f]{16}")


class Cache(Protocol):
    """One cache that holds something."""

    def describe(self) -> str:
        """Say what it is, in one line."""

    def busy(self) -> str:
        """Return who may be using it, or nothing."""

    def remove(self) -> None:
        """Remove it; LaunchFailed or OSError says why it cannot be."""


@runtime_checkable
class Caching(Protocol):
    """An environment whose hosts keep a cache."""

    def caches(self) -> Iterable[Cache]:
        """Return those of the hosts that answer; the others are warned of."""


class LocalCache:
    """This machine's: what Benchcast made for engines here, and as a host over SSH."""

    def __init__(self) -> None:
        """Look what there is."""
        root = cache_root()
        names = sorted(root.iterdir()) if root.is_dir() else []
        self.found = [one for one in names if one.name == "cache" or _DIGEST.fullmatch(one.name)]

    def describe(self) -> str:
        """Say what it is, in one line."""
        return f"the cache of this machine ({', '.join(one.name for one in self.found)})"

    def busy(self) -> str:
        """Return the sessions of this user that live here."""
        locks = sorted((work_root() / "locks").glob("*.lock"))
        return _sessions(lock.stem for lock in locks if session_alive(lock.stem))

    def remove(self) -> None:
        """Remove it."""
        for one in self.found:
            shutil.rmtree(one)


class SshCache:
    """That of a machine which is reached by SSH."""

    def __init__(self, link: Link, root: Path) -> None:
        """``root`` is the user's place over there."""
        self._link = link
        self._root = root
        code, text = link.call("run", argv=["ls", "-A", str(root / "cache")], seconds=30.0)
        self.found = sorted(text.split()) if code == 0 else []

    def describe(self) -> str:
        """Say what it is, in one line."""
        count = len(self.found)
        things = "1 entry" if count == 1 else f"{count} entries"
        return f"the cache of host {self._link.address.name} ({things})"

    def busy(self) -> str:
        """Return the sessions that anything over there is marked with, dead or alive."""
        told = self._link.call("left", root=str(self._root / "work"))
        marked = [owner.split("/")[-2] for owner in told["owners"] if owner.count("/") >= 2]
        return _sessions([*marked, *(name.rpartition(".")[0] for name in told["folders"])])

    def remove(self) -> None:
        """Remove it."""
        try:
            self._link.call("remove", path=str(self._root / "cache"), timeout=300.0)
        except OSError as error:
            what = f"host {self._link.address.name}: its cache cannot be removed: {error.strerror}"
            raise LaunchFailed(what, remedy="look at it there") from error


def local() -> list[Cache]:
    """Return this machine's cache, if anything is in it."""
    cache = LocalCache()
    return [cache] if cache.found else []


def _sessions(names: Iterable[str]) -> str:
    known = sorted(set(names))
    return f"{plural(len(known), 'session')}: {', '.join(known)}" if known else ""
