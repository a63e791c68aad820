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
from bench.hosts.tags import owner_of_tag, owner_of_text
from bench.records.cluster import Owner
from bench.text import plural


class _Found:
    """What one owner has on one machine."""

    def __init__(self, channel: AgentChannel, owner: Owner) -> None:
        """Start with nothing found."""
        self.owner = owner
        self.text = ""  # the owner, as its processes carry it
        self.count = 0
        self.folders: list[Path] = []
        self.groups: list[list[str]] = []  # the folders of each
        self._channel = channel

    def describe(self) -> str:
        """Say what it is, in one line."""
        noun = "process" if self.count == 1 else "processes"
        parts = [f"{self.count} {noun}"] if self.count else []
        parts += [plural(len(self.folders), "folder")] if self.folders else []
        parts += [plural(len(self.groups), "control group")] if self.groups else []
        study = self.owner.study or "unknown"
        whose = f"of study {study}, session {self.owner.session}"
        return f"{', '.join(parts)} {whose} on {self._channel.label}"

    def remove(self) -> None:
        """End the processes, then remove groups and folder; returns when they are gone."""
        if self.count or self.groups:
            labels = {processes.OWNER: self.text} if self.count else {}
            end(self._channel, labels, self.groups)
        for folder in self.folders:
            remove(self._channel, folder)


def find(channel: AgentChannel, works: Sequence[Path], seen: set[str]) -> Iterable[OwnedResource]:
    """Return one entry an owner, living or dead, from folders in ``works``, processes and groups.

    ``seen`` are the places that were looked at through other addresses: two of them may be one
    machine. Those that are new are added.
    """
    found: dict[str, _Found] = {}

    def entry(owner: Owner) -> _Found:
        return found.setdefault(owner.mark, _Found(channel, owner))

    for work in works:
        answer = channel.call("owned", root=str(work))
        folders = answer["folders"] if _new(answer["place"], seen) else {}
        for name, text in folders.items():
            if (owner := _folder_owner(name, text)) is not None:
                entry(owner).folders.append(work / name)
        counts = answer["owners"] if _new(answer["space"], seen) else {}
        for text, count in counts.items():
            owner = owner_of_text(text)
            one = entry(owner)
            one.owner, one.text, one.count = owner, text, count
        for name, (place, paths) in answer["groups"].items():
            owner = owner_of_tag(name.removeprefix(PREFIX).rpartition(".")[0])
            if owner is not None and _new(place, seen):
                entry(owner).groups.append(paths)
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
        return owner_of_tag(name)
