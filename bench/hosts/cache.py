"""The digest-named cache of bundles and Python environments: nobody's, removed only on demand."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from bench.contracts import Cache
from bench.directories import cache_root
from bench.errors import LaunchFailed
from bench.hosts import agent, agentfiles
from bench.hosts.link import Link
from bench.locks import living_sessions
from bench.text import plural

_DIGEST = re.compile(r"[a-z]+-[0-9a-f]{16}")


class LocalCache:
    """This machine's: what Benchcast made for engines here, and as a host over SSH."""

    def __init__(self) -> None:
        """Look what there is."""
        root = cache_root()
        names = sorted(root.iterdir()) if root.is_dir() else []
        self._host = root / "cache"
        self._work = root / "work"  # of clusters of any machine that reaches this one by SSH
        ours = [self._host] if agentfiles.cached(str(self._host)) else []
        self.found = ours + [one for one in names if _DIGEST.fullmatch(one.name)]

    def describe(self) -> str:
        """Say what it is, in one line."""
        return f"the cache of this machine ({', '.join(one.name for one in self.found)})"

    def busy(self) -> str:
        """Return the sessions of this user that live here, or that anything here is marked with.

        Of another machine's session, whose host this one is, only the marks are known.
        """
        alive = living_sessions()
        return _sessions([*alive, *_marked(agent.owners(), agentfiles.folders(str(self._work)))])

    def remove(self) -> None:
        """Remove it."""
        for one in self.found:
            if one == self._host:
                agentfiles.forget(str(one))
            else:
                shutil.rmtree(one)


class SshCache:
    """That of a machine which is reached by SSH."""

    def __init__(self, link: Link, root: Path) -> None:
        """``root`` is the user's place over there."""
        self._link = link
        self._root = root
        try:
            self.found: list[str] = link.call("cached", path=str(root / "cache"))
        except OSError as error:
            raise self._failed("read", error) from error

    def describe(self) -> str:
        """Say what it is, in one line."""
        count = len(self.found)
        things = "1 entry" if count == 1 else f"{count} entries"
        return f"the cache of host {self._link.address.name} ({things})"

    def busy(self) -> str:
        """Return the sessions that anything over there is marked with, dead or alive."""
        told = self._link.call("left", root=str(self._root / "work"))
        return _sessions(_marked(told["owners"], told["folders"]))

    def remove(self) -> None:
        """Remove what is named as ours: the folder may be one of the user's own."""
        try:
            self._link.call("forget", path=str(self._root / "cache"), timeout=300.0)
        except OSError as error:
            raise self._failed("removed", error) from error

    def _failed(self, done: str, error: OSError) -> LaunchFailed:
        what = f"host {self._link.address.name}: its cache cannot be {done}: {error.strerror}"
        return LaunchFailed(what, remedy="look at it there")


def local() -> list[Cache]:
    """Return this machine's cache, if anything is in it."""
    cache = LocalCache()
    return [cache] if cache.found else []


def _marked(owners: Iterable[str], folders: Iterable[str]) -> list[str]:
    """Return the sessions of processes' owners and of marked folders' names."""
    named = [owner.split("/")[-2] for owner in owners if owner.count("/") >= 2]
    return [*named, *(name.rpartition(".")[0] for name in folders if "." in name)]


def _sessions(names: Iterable[str]) -> str:
    known = sorted(set(names))
    return f"{plural(len(known), 'session')}: {', '.join(known)}" if known else ""
