"""What carries an owner's mark on a machine that is reached by SSH."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from bench.contracts import OwnedResource
from bench.hosts import processes
from bench.hosts.cgroups import PREFIX
from bench.hosts.link import Link
from bench.hosts.ssh import end, owner_value, remove
from bench.records.cluster import Owner
from bench.text import plural


class _Found:
    """Everything of one owner on one machine: this user's processes, a folder, control groups."""

    def __init__(self, link: Link, owner: Owner) -> None:
        """Start with nothing found."""
        self.owner = owner
        self.count = 0
        self.folder: Path | None = None
        self.groups: list[list[str]] = []  # the folders of each
        self._link = link

    def describe(self) -> str:
        """Say what it is, in one line."""
        noun = "process" if self.count == 1 else "processes"
        parts = [f"{self.count} {noun}"] if self.count else []
        parts += ["1 folder"] if self.folder is not None else []
        parts += [plural(len(self.groups), "control group")] if self.groups else []
        study = self.owner.study or "unknown"
        whose = f"of study {study}, session {self.owner.session}"
        return f"{', '.join(parts)} {whose} on host {self._link.address.name}"

    def remove(self) -> None:
        """End the processes, then remove groups and folder; returns when they are gone."""
        if self.count or self.groups:
            marks = {processes.OWNER: owner_value(self.owner)} if self.count else {}
            end(self._link, marks, self.groups)
        if self.folder is not None:
            remove(self._link, self.folder)


def find(link: Link, work: Path, seen: set[str]) -> Iterable[OwnedResource]:
    """Return one entry an owner, from folders below ``work``, processes and control groups.

    ``seen`` are the places that were looked at through other addresses: two of them may be one
    machine. Those that are new are added.
    """
    told = link.call("left", root=str(work))
    found: dict[str, _Found] = {}

    def entry(owner: Owner) -> _Found:
        return found.setdefault(owner.mark, _Found(link, owner))

    folders = told["folders"] if _new(told["place"], seen) else {}
    for name, text in folders.items():
        if (owner := _folder_owner(name, text)) is not None:
            entry(owner).folder = work / name
    counts = told["owners"] if _new(told["space"], seen) else {}
    for value, count in counts.items():
        study, session, cluster = (["", "", *value.rsplit("/", 2)])[-3:]
        one = entry(Owner(study=study, session=session, cluster=cluster))
        one.owner = Owner(study=study, session=session, cluster=cluster)  # by which they are ended
        one.count = count
    for name, (place, paths) in told["groups"].items():
        parts = name.removeprefix(PREFIX).rsplit(".", 2)
        if len(parts) == 3 and _new(place, seen):
            entry(Owner(study="", session=parts[0], cluster=parts[1])).groups.append(paths)
    return [OwnedResource(one.owner, one.describe(), one.remove) for one in found.values()]


def _new(place: str, seen: set[str]) -> bool:
    """Return whether a place is looked at for the first time."""
    new = place not in seen
    seen.add(place)
    return new


def _folder_owner(name: str, text: str) -> Owner | None:
    """Read ``owner.json``; a folder torn at its making is known by its name alone."""
    try:
        return msgspec.json.decode(text, type=Owner)
    except msgspec.MsgspecError:
        session, dot, cluster = name.rpartition(".")
        return Owner(study="", session=session, cluster=cluster) if dot else None
