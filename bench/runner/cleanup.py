"""Removes leftovers of dead sessions, found by their owner's tag, and then the sessions' files.

A session is dead only if its lock can be taken on its own host. Leftovers of another host's
session are listed, and removed only on demand.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from bench import environments
from bench.contracts import Environment, OwnedResource
from bench.directories import host_id, sessions_folder
from bench.errors import UserError
from bench.locks import session_alive
from bench.records.results import Session
from bench.records.study import EnvironmentSpec, Study
from bench.runner.notes import listening
from bench.store.folder import Store
from bench.store.reader import Results


class Leftovers(msgspec.Struct, frozen=True, kw_only=True):
    """Leftovers of sessions: ``resources`` on environments, ``folders`` as (session, run).

    ``notes`` report environments that could not be searched; ``searched`` are the others, as
    ``environments_of`` names them.
    """

    resources: tuple[OwnedResource, ...]
    folders: tuple[tuple[str, str], ...]
    searched: frozenset[str]
    notes: tuple[str, ...] = ()

    def of(self, sessions: set[str]) -> Leftovers:
        """Return the leftovers of these sessions only."""
        return msgspec.structs.replace(
            self,
            resources=tuple(item for item in self.resources if item.owner.session in sessions),
            folders=tuple(folder for folder in self.folders if folder[0] in sessions),
        )

    def describe(self) -> list[str]:
        """Return one line for each leftover."""
        folders = [f"the unfinished folder of run {run}" for _, run in self.folders]
        return [*(resource.text for resource in self.resources), *folders]

    def remove(self, store: Store) -> Iterator[str]:
        """Remove everything, and yield a line before each removal."""
        for resource in self.resources:
            yield resource.text
            resource.remove()
        for _, run in self.folders:
            yield f"the unfinished folder of run {run}"
            store.discard(run)


def dead(session: Session) -> bool:
    """Return whether a session has certainly ended: its lock on its own host is free."""
    return session.host == host_id() and not session_alive(session.session)


def dead_sessions(results: Results) -> set[str]:
    """Return the sessions that have certainly ended."""
    return {name for name, session in results.sessions.items() if dead(session)}


def elsewhere(results: Results) -> set[str]:
    """Return the sessions of other hosts, which may be alive."""
    here = host_id()
    return {name for name, session in results.sessions.items() if session.host != here}


def find(
    store: Store, results: Results, built: Mapping[str, Environment], sessions: set[str]
) -> Leftovers:
    """Return what these sessions left in the results folder and on environments."""
    resources: dict[tuple[str, str], OwnedResource] = {}
    searched: set[str] = set()
    notes: dict[str, None] = {}
    for name, environment in built.items():
        unknown: list[str] = []
        with listening(unknown.append):
            for resource in environment.owned():
                if resource.owner.session in sessions:
                    resources.setdefault((resource.owner.tag, resource.text), resource)
        if not unknown:
            searched.add(name)
        notes |= dict.fromkeys(unknown)
    folders = [
        (session, started.run)
        for session, started in results.orphans
        if session in sessions and store.has_folder(started.run)
    ]
    return Leftovers(
        resources=tuple(resources.values()),
        folders=tuple(folders),
        searched=frozenset(searched),
        notes=tuple(notes),
    )


def environments_of(
    results: Results, specs: Iterable[EnvironmentSpec], opened: contextlib.ExitStack
) -> tuple[dict[str, Environment], list[str]]:
    """Build each environment of these results' sessions and of ``specs`` once.

    Records do not contain all settings: those of ``specs`` come first, then those that a session
    saved. Returns environments by their record, and the errors of others; ``opened`` closes the
    environments.
    """
    saved = [spec for session in results.sessions.values() for spec in load_settings(session)]
    by_record: dict[str, EnvironmentSpec] = {}
    for spec in sorted([*specs, *saved], key=lambda spec: spec.recorded is None):
        by_record.setdefault(record_of_spec(spec), spec)
    built: dict[str, Environment] = {}
    failures: list[str] = []
    for record, spec in by_record.items():
        try:
            built[record] = opened.enter_context(environments.build(spec))
        except UserError as error:
            failures.append(f"not searched: {spec.name}: {error}")
    return built, failures


def forget(results: Results, sessions: Iterable[str], searched: frozenset[str]) -> None:
    """Remove the files of dead sessions if all of their environments were searched."""
    for session in sessions:
        own = {record_of_spec(spec) for spec in results.sessions[session].study.environments}
        if own <= searched:
            for ending in ("json", "lock"):
                (sessions_folder() / f"{session}.{ending}").unlink(missing_ok=True)


def record_of_spec(spec: EnvironmentSpec) -> str:
    """Return an environment's record as text, to use as a key."""
    return msgspec.json.encode(spec.for_record()).decode()


def save_settings(session: str, study: Study) -> Path | None:
    """Save settings that no record may contain (mode 600), for the cleanup after a crash."""
    if not any(map(_hides, study.environments)):
        return None
    path = sessions_folder() / f"{session}.json"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.encode(study.environments))
    return path


def _hides(spec: EnvironmentSpec) -> bool:
    """Return whether an environment has settings that its record does not contain."""
    encode = msgspec.json.encode
    return encode(spec.for_record().settings) != encode(spec.settings)


def load_settings(session: Session) -> tuple[EnvironmentSpec, ...]:
    """Return a session's environments with the saved settings, else as recorded."""
    data = b""
    path = sessions_folder() / f"{session.session}.json"
    if session.host == host_id() and path.exists():
        data = path.read_bytes()
    try:
        return msgspec.json.decode(data, type=tuple[EnvironmentSpec, ...])
    except msgspec.MsgspecError:  # nothing was saved, or the file is torn
        return session.study.environments


def crashes(results: Results, campaign: str) -> list[str]:
    """Return a campaign's cell keys whose runs ended with the harness, one for each start."""
    sessions = {
        name: session_
        for name, session_ in results.sessions.items()
        if session_.campaign == campaign
    }
    return [
        started.key
        for session, started in results.orphans
        if session in sessions and dead(sessions[session])
    ]
