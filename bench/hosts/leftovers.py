"""What carries an owner's mark on this machine: processes, folders, control groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from bench.contracts import OwnedResource
from bench.hosts import processes
from bench.hosts.cgroups import PREFIX, Cgroups, Group
from bench.hosts.local import remove_tree
from bench.records.cluster import Owner


class _Found:
    """Everything of one owner on this machine, living or not."""

    def __init__(self, owner: Owner, cgroups: Cgroups) -> None:
        """Start with nothing found."""
        self.owner = owner
        self.pids: list[int] = []
        self.folder: Path | None = None
        self.groups: dict[str, Group] = {}
        self._cgroups = cgroups

    def describe(self) -> str:
        """Say what it is, in one line."""
        counted = (
            (len(self.pids), "process", "processes"),
            (int(self.folder is not None), "folder", "folders"),
            (len(self.groups), "control group", "control groups"),
        )
        parts = [f"{n} {one if n == 1 else many}" for n, one, many in counted if n]
        study = self.owner.study or "unknown"
        return f"{', '.join(parts)} of study {study}, session {self.owner.session}"

    def remove(self) -> None:
        """End its processes, then remove its groups and its folder; returns when they are gone."""
        processes.end(self._living, self.describe())
        for group in self.groups.values():
            self._cgroups.remove(group)
        if self.folder is not None:
            remove_tree(self.folder)

    def _living(self) -> list[int]:
        pids = {pid for group in self.groups.values() for pid in group.pids()}
        marked = {pid for pid, env in processes.scan() if _owner(env).mark == self.owner.mark}
        return sorted(pids | marked)


def find(roots: Sequence[Path], cgroups: Cgroups) -> Iterable[OwnedResource]:
    """Return one entry an owner, from folders, then processes, then control groups."""
    found: dict[str, _Found] = {}

    def entry(owner: Owner) -> _Found:
        return found.setdefault(owner.mark, _Found(owner, cgroups))

    for folder in sorted(path for root in roots for path in root.iterdir() if path.is_dir()):
        if (owner := _folder_owner(folder)) is not None:
            entry(owner).folder = folder
    for pid, env in processes.scan():
        entry(_owner(env)).pids.append(pid)
    for name, group in cgroups.marked().items():
        parts = name.removeprefix(PREFIX).rsplit(".", 2)
        if len(parts) == 3:
            owner = Owner(study="", session=parts[0], cluster=parts[1])
            entry(owner).groups[name] = group
    return [OwnedResource(one.owner, one.describe(), one.remove) for one in found.values()]


def _owner(env: Mapping[str, str]) -> Owner:
    """Read the owner from a process's environment."""
    study, session, cluster = (["", "", *env[processes.OWNER].rsplit("/", 2)])[-3:]
    return Owner(study=study, session=session, cluster=cluster)


def _folder_owner(folder: Path) -> Owner | None:
    """Read ``owner.json``; a folder torn at its making is known by its name alone."""
    try:
        return msgspec.json.decode((folder / "owner.json").read_bytes(), type=Owner)
    except (OSError, msgspec.MsgspecError):
        session, dot, cluster = folder.name.rpartition(".")
        return Owner(study="", session=session, cluster=cluster) if dot else None
