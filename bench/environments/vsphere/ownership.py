"""Who owns a VM or a pool: the owner's tag in its name, the owner in full in its annotation.

A resource pool has no annotation; it has the custom attribute ``FIELD``.
"""

from __future__ import annotations

import re

from bench.records.cluster import Owner

PREFIX = "benchcast-"
GUESTINFO = "guestinfo.benchcast.owner"
FIELD = "benchcast.owner"

# Session ids come from bench.ids.new_id(); other names belong to someone else.
_NAME = re.compile(r"benchcast-(?P<tag>\d{6}-\d{9}-[0-9a-f]{4}\.[A-Za-z0-9]+)(?:-(?P<index>\d+))?")
_TEXT = "benchcast owner: "


def pool_name(owner: Owner) -> str:
    """Return the name of the owner's resource pool."""
    return f"{PREFIX}{owner.tag}"


def vm_name(owner: Owner, index: int) -> str:
    """Return the name of the owner's VM number ``index``."""
    return f"{pool_name(owner)}-{index}"


def index_of(name: str) -> int:
    """Return the number of an owner's VM; ValueError for another name."""
    match = _NAME.fullmatch(name)
    if match is None or match["index"] is None:
        raise ValueError(f"{name!r} is not a VM of Benchcast")
    return int(match["index"])


def belongs(name: str, owner: Owner) -> bool:
    """Return whether a name carries the owner's tag."""
    named = owner_of(name)
    return named is not None and named.tag == owner.tag


def annotation(owner: Owner) -> str:
    """Return the owner in full, for a VM's notes and guestinfo."""
    return f"{_TEXT}{owner.text}"


def names_owner(notes: str, owner: Owner) -> bool:
    """Return whether an annotation or attribute names this owner, of any study."""
    named = _owner_in(notes)
    return named is not None and named.tag == owner.tag


def owner_of(name: str, notes: str = "") -> Owner | None:
    """Return the owner of a VM or pool by its name, or None if Benchcast did not make it.

    The name decides; the study comes from the notes, which an unfinished clone may lack.
    """
    match = _NAME.fullmatch(name)
    owner = None if match is None else Owner.from_tag(match["tag"])
    if owner is None or not names_owner(notes, owner):
        return owner
    return _owner_in(notes)


def _owner_in(notes: str) -> Owner | None:
    return Owner.from_text(notes.removeprefix(_TEXT)) if notes.startswith(_TEXT) else None
