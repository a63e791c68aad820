"""Whose something is, as text: in a process's environment, a folder's name, a VM's notes."""

from __future__ import annotations

from bench.records.cluster import Owner


def owner_text(owner: Owner) -> str:
    """Return the owner in full, as ``BENCHCAST_OWNER`` holds it."""
    return f"{owner.study}/{owner.session}/{owner.cluster}"


def owner_of_text(text: str) -> Owner:
    """Return the owner that ``owner_text`` wrote; empty parts where it is torn."""
    study, session, cluster = (["", "", *text.rsplit("/", 2)])[-3:]
    return Owner(study=study, session=session, cluster=cluster)


def owner_of_tag(tag: str) -> Owner | None:
    """Return the owner (of an unknown study) whose tag this is, or None for another name."""
    session, dot, cluster = tag.rpartition(".")
    return Owner(study="", session=session, cluster=cluster) if dot and session else None
