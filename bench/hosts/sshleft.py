"""What carries an owner's mark on a machine that is reached by SSH."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from bench.hosts import processes
from bench.hosts.link import Link
from bench.hosts.ssh import end, owner_value
from bench.model import Owner


class SshLeftover:
    """Everything of one owner on one machine: processes of this user, and a folder."""

    def __init__(self, link: Link, owner: Owner) -> None:
        """Start with nothing found."""
        self.owner = owner
        self.count = 0
        self.folder: Path | None = None
        self._link = link

    def describe(self) -> str:
        """Say what it is, in one line."""
        noun = "process" if self.count == 1 else "processes"
        parts = [f"{self.count} {noun}"] if self.count else []
        parts += ["1 folder"] if self.folder is not None else []
        study = self.owner.study or "unknown"
        whose = f"of study {study}, session {self.owner.session}"
        return f"{', '.join(parts)} {whose} on host {self._link.address.name}"

    def remove(self) -> None:
        """End the processes, then remove the folder; returns when they are gone."""
        if self.count:
            end(self._link, {processes.OWNER: owner_value(self.owner)})
        if self.folder is not None:
            self._link.call("remove", path=str(self.folder))


def find(link: Link, work: Path) -> Iterable[SshLeftover]:
    """Return one entry an owner, from folders below ``work``, then from processes."""
    found: dict[str, SshLeftover] = {}
    for name, text in link.call("folders", root=str(work)).items():
        if (owner := _folder_owner(name, text)) is not None:
            found.setdefault(owner.mark, SshLeftover(link, owner)).folder = work / name
    for value, count in link.call("owners").items():
        study, session, cluster = (["", "", *value.rsplit("/", 2)])[-3:]
        owner = Owner(study=study, session=session, cluster=cluster)
        entry = found.setdefault(owner.mark, SshLeftover(link, owner))
        entry.owner = owner  # the processes' own word, by which they are ended
        entry.count = count
    return list(found.values())


def _folder_owner(name: str, text: str) -> Owner | None:
    """Read ``owner.json``; a folder torn at its making is known by its name alone."""
    try:
        return msgspec.json.decode(text, type=Owner)
    except msgspec.MsgspecError:
        session, dot, cluster = name.rpartition(".")
        return Owner(study="", session=session, cluster=cluster) if dot else None
