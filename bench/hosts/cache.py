"""The content-addressed cache. It has no owner; only ``cleanup --cache`` removes it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable

from bench.contracts import Cache
from bench.directories import cache_root
from bench.errors import LaunchFailed
from bench.hosts.agent import files, processes
from bench.hosts.channel import AgentChannel
from bench.hosts.host import Workspace
from bench.hosts.tags import owner_of_tag, owner_of_text
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
        ours = [self._host] if files.cached(str(self._host)) else []
        self.found = ours + [one for one in names if _DIGEST.fullmatch(one.name)]

    def describe(self) -> str:
        """Say what it is, in one line."""
        return f"the cache of this machine ({', '.join(one.name for one in self.found)})"

    def busy(self) -> str:
        """Return the sessions of this user that live here, or that anything here is tagged with.

        Of another machine's session, whose host this one is, only the tags are known.
        """
        alive = living_sessions()
        return _sessions([*alive, *_tagged(processes.owners(), files.folders(str(self._work)))])

    def remove(self) -> None:
        """Remove it."""
        for one in self.found:
            if one == self._host:
                files.clear_cache(str(one))
            else:
                shutil.rmtree(one)


class HostCache:
    """The cache of a host that is reached by a channel."""

    def __init__(self, channel: AgentChannel, workspace: Workspace) -> None:
        """Look what there is in the user's folders over there."""
        self._channel = channel
        self._workspace = workspace
        try:
            self.found: list[str] = channel.call("cached", path=str(workspace.cache))
        except OSError as error:
            raise self._failed("read", error) from error

    def describe(self) -> str:
        """Say what it is, in one line."""
        count = len(self.found)
        things = "1 entry" if count == 1 else f"{count} entries"
        return f"the cache of {self._channel.label} ({things})"

    def busy(self) -> str:
        """Return the sessions that anything over there is tagged with, dead or alive."""
        answer = self._channel.call("owned", root=str(self._workspace.work))
        return _sessions(_tagged(answer["owners"], answer["folders"]))

    def remove(self) -> None:
        """Remove what is named as ours: the folder may be one of the user's own."""
        try:
            self._channel.call("clear_cache", path=str(self._workspace.cache), timeout=300.0)
        except OSError as error:
            raise self._failed("removed", error) from error

    def _failed(self, done: str, error: OSError) -> LaunchFailed:
        what = f"{self._channel.label}: its cache cannot be {done}: {error.strerror}"
        return LaunchFailed(what, remedy="look at it there")


def local() -> list[Cache]:
    """Return this machine's cache, if anything is in it."""
    cache = LocalCache()
    return [cache] if cache.found else []


def _tagged(owners: Iterable[str], folders: Iterable[str]) -> list[str]:
    """Return the sessions of processes' owners and of tagged folders' names."""
    known = [owner_of_text(text) for text in owners]
    known += [owner for name in folders if (owner := owner_of_tag(name)) is not None]
    return [owner.session for owner in known if owner.session]


def _sessions(names: Iterable[str]) -> str:
    known = sorted(set(names))
    return f"{plural(len(known), 'session')}: {', '.join(known)}" if known else ""
