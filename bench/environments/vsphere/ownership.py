"""Whose a VM or a pool is: the owner's mark in its name, the owner in full in its annotation.

A resource pool has no annotation; the custom attribute ``FIELD`` is its.
"""

from __future__ import annotations

import re

from bench.records.cluster import Owner

PREFIX = "benchcast-"
GUESTINFO = "guestinfo.benchcast.owner"
FIELD = "benchcast.owner"

# Session ids are bench.ids.new_id(); whatever looks otherwise is someone else's.
_NAME = re.compile(
    r"benchcast-(?P<session>\d{6}-\d{9}-[0-9a-f]{4})\.(?P<cluster>[A-Za-z0-9]+)(?:-(?P<index>\d+))?"
)
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
    """Return whether a name carries the owner's mark."""
    found = owner_of(name)
    return found is not None and found.mark == owner.mark


def annotation(owner: Owner) -> str:
    """Return the owner in full, as a VM's notes and its guestinfo carry it."""
    return f"{_TEXT}{owner.study}/{owner.session}/{owner.cluster}"


def says(notes: str, owner: Owner) -> bool:
    """Return whether an annotation or attribute is that of the owner, of whatever study."""
    return notes.startswith(_TEXT) and notes.endswith(f"/{owner.session}/{owner.cluster}")


def owner_of(name: str, notes: str = "") -> Owner | None:
    """Return whose a VM or pool of this name is, or None for a stranger's.

    The name decides; the study is read from the notes, which a VM killed in mid-clone lacks.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    owner = Owner(study="", session=match["session"], cluster=match["cluster"])
    if not says(notes, owner):
        return owner
    study = notes.removeprefix(_TEXT).removesuffix(f"/{owner.session}/{owner.cluster}")
    return Owner(study=study, session=owner.session, cluster=owner.cluster)
