"""Dead sessions: what they left is found by its owner's tag and removed, and then their own files.

A session is dead only when its lock can be taken, on its own host. What another host's session
left is listed, and removed only when that is asked for.
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


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """What sessions left: ``resources`` on environments, ``folders`` as (session, run).

    ``notes`` say where it could not be looked; ``looked_at`` are the other environments, as
    ``environments_of`` names them.
    """

    resources: tuple[OwnedResource, ...]
    folders: tuple[tuple[str, str], ...]
    looked_at: frozenset[str]
    notes: tuple[str, ...] = ()

    def of(self, sessions: set[str]) -> Sweep:
        """Return only what these sessions left."""
        return msgspec.structs.replace(
            self,
            resources=tuple(one for one in self.resources if one.owner.session in sessions),
            folders=tuple(one for one in self.folders if one[0] in sessions),
        )

    def describe(self) -> list[str]:
        """Return one line for each thing."""
        folders = [f"the unfinished folder of run {run}" for _, run in self.folders]
        return [*(one.text for one in self.resources), *folders]

    def remove(self, store: Store) -> Iterator[str]:
        """Remove everything, and yield a line before each thing."""
        for resource in self.resources:
            yield resource.text
            resource.remove()
        for _, run in self.folders:
            yield f"the unfinished folder of run {run}"
            store.discard(run)


def dead(session: Session) -> bool:
    """Return whether a session is surely over: its lock, on its own host, can be taken."""
    return session.host == host_id() and not session_alive(session.session)


def dead_sessions(results: Results) -> set[str]:
    """Return the sessions that are surely over."""
    return {name for name, session in results.sessions.items() if dead(session)}


def elsewhere(results: Results) -> set[str]:
    """Return the sessions of other hosts: whether they live cannot be known here."""
    here = host_id()
    return {name for name, session in results.sessions.items() if session.host != here}


def find(
    store: Store, results: Results, places: Mapping[str, Environment], sessions: set[str]
) -> Sweep:
    """Return what these sessions left in the results folder and on environments (``places``)."""
    found: dict[tuple[str, str], OwnedResource] = {}
    looked_at: set[str] = set()
    notes: dict[str, None] = {}
    for name, environment in places.items():
        unknown: list[str] = []
        with listening(unknown.append):
            for resource in environment.owned():
                if resource.owner.session in sessions:
                    found.setdefault((resource.owner.mark, resource.text), resource)
        if not unknown:
            looked_at.add(name)
        notes |= dict.fromkeys(unknown)
    folders = [
        (session, started.run)
        for session, started in results.orphans
        if session in sessions and store.has_folder(started.run)
    ]
    return Sweep(
        resources=tuple(found.values()),
        folders=tuple(folders),
        looked_at=frozenset(looked_at),
        notes=tuple(notes),
    )


def environments_of(
    results: Results, specs: Iterable[EnvironmentSpec], opened: contextlib.ExitStack
) -> tuple[dict[str, Environment], list[str]]:
    """Build each environment that a session of these results had, or that ``specs`` name, once.

    Records do not hold all settings: those of ``specs`` are taken, then those that a session left.
    Returns environments by what their record holds, and why others could not be built; ``opened``
    closes them.
    """
    kept = [spec for session in results.sessions.values() for spec in load_settings(session)]
    whole: dict[str, EnvironmentSpec] = {}
    for spec in sorted([*specs, *kept], key=lambda spec: spec.recorded is None):
        whole.setdefault(record_of_spec(spec), spec)
    built: dict[str, Environment] = {}
    failures: list[str] = []
    for record, spec in whole.items():
        try:
            built[record] = opened.enter_context(environments.build(spec))
        except UserError as error:
            failures.append(f"not looked at: {spec.name}: {error}")
    return built, failures


def forget(results: Results, sessions: Iterable[str], looked_at: frozenset[str]) -> None:
    """Remove the own files of dead sessions all of whose environments were looked at."""
    for session in sessions:
        own = {record_of_spec(spec) for spec in results.sessions[session].study.environments}
        if own <= looked_at:
            for ending in ("json", "lock"):
                (sessions_folder() / f"{session}.{ending}").unlink(missing_ok=True)


def record_of_spec(spec: EnvironmentSpec) -> str:
    """Return what a record holds of an environment, as a key."""
    return msgspec.json.encode(spec.for_record()).decode()


def save_settings(session: str, study: Study) -> Path | None:
    """Keep what a session's record must not hold (mode 600), for the cleanup after a crash."""
    if not any(map(_hides, study.environments)):
        return None
    path = sessions_folder() / f"{session}.json"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.encode(study.environments))
    return path


def _hides(spec: EnvironmentSpec) -> bool:
    """Return whether an environment has settings that no record holds."""
    encode = msgspec.json.encode
    return encode(spec.for_record().settings) != encode(spec.settings)


def load_settings(session: Session) -> tuple[EnvironmentSpec, ...]:
    """Return the environments of a session, whole where they were kept here, else as recorded."""
    data = b""
    path = sessions_folder() / f"{session.session}.json"
    if session.host == host_id() and path.exists():
        data = path.read_bytes()
    try:
        return msgspec.json.decode(data, type=tuple[EnvironmentSpec, ...])
    except msgspec.MsgspecError:  # nothing was kept, or it is torn
        return session.study.environments


def crashes(results: Results, campaign: str) -> list[str]:
    """Return the cell keys of starts in a campaign that took a harness down, one a start."""
    mine = {name: one for name, one in results.sessions.items() if one.campaign == campaign}
    return [
        started.key
        for session, started in results.orphans
        if session in mine and dead(mine[session])
    ]
