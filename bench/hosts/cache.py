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
from bench.locks import living_sessions
from bench.records.cluster import Owner
from bench.text import plural

_DIGEST = re.compile(r"[a-z]+-[0-9a-f]{16}")


class LocalCache:
    """This machine's cache: for engines here, and for sessions that use it as an SSH host."""

    def __init__(self) -> None:
        """Find the cache's entries."""
        root = cache_root()
        names = sorted(root.iterdir()) if root.is_dir() else []
        self._host = root / "cache"
        self._work = root / "work"  # clusters of machines that reach this one by SSH
        own = [self._host] if files.cached(str(self._host)) else []
        self.entries = own + [path for path in names if _DIGEST.fullmatch(path.name)]

    def describe(self) -> str:
        """Return a description of one line."""
        return f"the cache of this machine ({', '.join(path.name for path in self.entries)})"

    def busy(self) -> str:
        """Return this user's living sessions, and sessions of any tag found here.

        Sessions that another machine runs on this host are known by their tags only.
        """
        alive = living_sessions()
        return _sessions([*alive, *_tagged(processes.owners(), files.folders(str(self._work)))])

    def remove(self) -> None:
        """Remove every entry."""
        for path in self.entries:
            if path == self._host:
                files.clear_cache(str(path))
            else:
                shutil.rmtree(path)


class HostCache:
    """The cache of a host that is reached by a channel."""

    def __init__(self, channel: AgentChannel, workspace: Workspace) -> None:
        """Ask the host for the cache's entries."""
        self._channel = channel
        self._workspace = workspace
        try:
            self.entries: list[str] = channel.call("cached", path=str(workspace.cache))
        except OSError as error:
            raise self._failed("read", error) from error

    def describe(self) -> str:
        """Return a description of one line."""
        count = len(self.entries)
        size = "1 entry" if count == 1 else f"{count} entries"
        return f"the cache of {self._channel.label} ({size})"

    def busy(self) -> str:
        """Return the sessions of all tags on the host, dead or alive."""
        answer = self._channel.call("owned", root=str(self._workspace.work))
        return _sessions(_tagged(answer["owners"], answer["folders"]))

    def remove(self) -> None:
        """Remove entries by their names; other files of the user stay."""
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
    return [cache] if cache.entries else []


def _tagged(owners: Iterable[str], folders: Iterable[str]) -> list[str]:
    """Return the sessions of processes' owners and of tagged folders' names."""
    tagged = [Owner.from_text(text) for text in owners]
    tagged += [owner for name in folders if (owner := Owner.from_tag(name)) is not None]
    return [owner.session for owner in tagged if owner.session]


def _sessions(names: Iterable[str]) -> str:
    sessions = sorted(set(names))
    return f"{plural(len(sessions), 'session')}: {', '.join(sessions)}" if sessions else ""
