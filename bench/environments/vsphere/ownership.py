"""Whose a VM or a pool is: the owner's tag in its name, the owner in full in its annotation.

A resource pool has no annotation; the custom attribute ``FIELD`` is its.
"""

from __future__ import annotations

import re

from bench.hosts.tags import owner_of_tag, owner_of_text, owner_text
from bench.records.cluster import Owner

PREFIX = "benchcast-"
GUESTINFO = "guestinfo.benchcast.owner"
FIELD = "benchcast.owner"

# Session ids are bench.ids.new_id(); whatever looks otherwise is someone else's.
_NAME = re.compile(r"benchcast-(?P<tag>\d{6}-\d{9}-[0-9a-f]{4}\.[A-Za-z0-9]+)(?:-(?P<index>\d+))?")
_TEXT = "benchcast owner: "


def pool_name(owner: Owner) -> str:
    """Return the name of the owner's resource pool."""
    return f"{PREFIX}{owner.mark}"


def vm_name(owner: Owner, index: int) -> str:
    """Return the name of the owner's VM number ``index``."""
    return f"{pool_name(owner)}-{index}"


def index_of(name: str) -> int:
    """Return the number of an owner's VM; ValueError for another name."""
    match = _NAME.fullmatch(name)
    if match is None or match["index"] is None:
        raise ValueError(f"{name!r} is no VM of ours")
    return int(match["index"])


def belongs(name: str, owner: Owner) -> bool:
    """Return whether a name carries the owner's tag."""
    found = owner_of(name)
    return found is not None and found.mark == owner.mark


def annotation(owner: Owner) -> str:
    """Return the owner in full, as a VM's notes and its guestinfo carry it."""
    return f"{_TEXT}{owner_text(owner)}"


def names_owner(notes: str, owner: Owner) -> bool:
    """Return whether an annotation or attribute is that of the owner, of whatever study."""
    told = _owner_in(notes)
    return told is not None and told.mark == owner.mark


def owner_of(name: str, notes: str = "") -> Owner | None:
    """Return whose a VM or pool of this name is, or None for a stranger's.

    The name decides; the study is read from the notes, which a VM killed in mid-clone lacks.
    """
    match = _NAME.fullmatch(name)
    owner = None if match is None else owner_of_tag(match["tag"])
    if owner is None or not names_owner(notes, owner):
        return owner
    return _owner_in(notes)


def _owner_in(notes: str) -> Owner | None:
    return owner_of_text(notes.removeprefix(_TEXT)) if notes.startswith(_TEXT) else None
