"""Everything that carries an owner's tag on a host: processes, a folder, control groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from bench.contracts import OwnedResource
from bench.hosts.agent import processes
from bench.hosts.agent.cgroups import PREFIX
from bench.hosts.channel import AgentChannel
from bench.hosts.host import end, remove
from bench.records.cluster import Owner
from bench.text import plural


class _OwnedOnHost:
    """Processes, folder and control groups of one owner on one machine."""

    def __init__(self, channel: AgentChannel, owner: Owner) -> None:
        self.owner = owner
        self.text = ""  # the owner, as its processes carry it
        self.count = 0
        self.folders: list[Path] = []
        self.groups: list[list[str]] = []  # the folders of each
        self._channel = channel

    def describe(self) -> str:
        """Return a description of one line."""
        noun = "process" if self.count == 1 else "processes"
        parts = [f"{self.count} {noun}"] if self.count else []
        parts += [plural(len(self.folders), "folder")] if self.folders else []
        parts += [plural(len(self.groups), "control group")] if self.groups else []
        study = self.owner.study or "unknown"
        whose = f"of study {study}, session {self.owner.session}"
        return f"{', '.join(parts)} {whose} on {self._channel.label}"

    def remove(self) -> None:
        """End the processes, then remove groups and folder; return when they are gone."""
        if self.count or self.groups:
            labels = {processes.OWNER: self.text} if self.count else {}
            end(self._channel, labels, self.groups)
        for folder in self.folders:
            remove(self._channel, folder)


def find(channel: AgentChannel, works: Sequence[Path], seen: set[str]) -> Iterable[OwnedResource]:
    """Return an entry for each owner, from folders in ``works``, processes and groups.

    Two addresses may lead to one machine: ``seen`` holds the identities of process spaces,
    folders and groups listed so far, and new ones are added to it.
    """
    entries: dict[str, _OwnedOnHost] = {}

    def entry(owner: Owner) -> _OwnedOnHost:
        return entries.setdefault(owner.tag, _OwnedOnHost(channel, owner))

    for work in works:
        answer = channel.call("owned", root=str(work))
        folders = answer["folders"] if _new(answer["folder"], seen) else {}
        for name, text in folders.items():
            if (owner := _folder_owner(name, text)) is not None:
                entry(owner).folders.append(work / name)
        counts = answer["owners"] if _new(answer["space"], seen) else {}
        for text, count in counts.items():
            owner = Owner.from_text(text)
            carrying = entry(owner)
            carrying.owner, carrying.text, carrying.count = owner, text, count
        for name, (identity, paths) in answer["groups"].items():
            owner = Owner.from_tag(name.removeprefix(PREFIX).rpartition(".")[0])
            if owner is not None and _new(identity, seen):
                entry(owner).groups.append(paths)
    return [OwnedResource(item.owner, item.describe(), item.remove) for item in entries.values()]


def _new(identity: str, seen: set[str]) -> bool:
    """Return whether this identity is new, and remember it."""
    new = identity not in seen
    seen.add(identity)
    return new


def _folder_owner(name: str, text: str) -> Owner | None:
    """Read ``owner.json``; if it is torn, only the folder's name gives the owner."""
    try:
        return msgspec.json.decode(text, type=Owner)
    except msgspec.MsgspecError:
        return Owner.from_tag(name)
