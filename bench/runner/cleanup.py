"""Dead sessions: what they left is found by its owner mark and removed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from bench.contracts import Environment, OwnedResource
from bench.directories import host_id, keep_settings, kept_settings
from bench.locks import session_alive
from bench.records.results import Session
from bench.records.study import EnvironmentSpec, Study
from bench.store.folder import Store
from bench.store.reader import Results


def dead(session: Session) -> bool:
    """Return whether a session is surely over: its lock, on its own host, can be taken."""
    return session.host == host_id() and not session_alive(session.session)


def keep(session: str, study: Study) -> Path | None:
    """Keep a session's environments whole while it lives, where its record holds less."""
    if all(one.recorded in (None, one.settings) for one in study.environments):
        return None
    return keep_settings(session, msgspec.json.encode(study.environments))


def kept(session: Session) -> tuple[EnvironmentSpec, ...]:
    """Return the environments of a session, whole where they were kept here, else as recorded."""
    data = kept_settings(session.session) if session.host == host_id() else None
    try:
        return msgspec.json.decode(data or b"", type=tuple[EnvironmentSpec, ...])
    except msgspec.MsgspecError:  # nothing was kept, or it is torn
        return session.study.environments


def leftovers(results: Results, environments: Iterable[Environment]) -> list[OwnedResource]:
    """List what dead sessions of this results folder left on these environments."""
    gone = {name for name, session in results.sessions.items() if dead(session)}
    found: dict[tuple[str, str], OwnedResource] = {}
    for environment in environments:
        for resource in environment.owned():
            if resource.owner.session in gone:
                found.setdefault((resource.owner.mark, resource.text), resource)
    return list(found.values())


def orphans(store: Store, results: Results) -> list[str]:
    """Return the runs that dead sessions never finished and that left a folder."""
    return [
        started.run
        for session, started in results.orphans
        if dead(results.sessions[session]) and store.has_folder(started.run)
    ]


def discard(store: Store, runs: Iterable[str]) -> None:
    """Delete the folders of these runs."""
    for run in runs:
        store.discard(run)


def crashes(results: Results, campaign: str) -> list[str]:
    """Return the cell keys of starts in a campaign that took a harness down, one a start."""
    mine = {name: one for name, one in results.sessions.items() if one.campaign == campaign}
    return [
        started.key
        for session, started in results.orphans
        if session in mine and dead(mine[session])
    ]
