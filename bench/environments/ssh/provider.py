"""Machines that are reached by SSH as a provider of hosts: the inventory of a study.

Each worker has a machine of its own; the driver is on ``driver`` where that is given, else beside
worker 0. All that is written is in ``work/<tag>/<index>/`` of the folder over there.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from bench import contracts
from bench.contracts import Cache, Engine, MetricSource, OwnedResource
from bench.errors import LaunchFailed
from bench.hosts import host as tagged
from bench.hosts import owned, python_env, workspace
from bench.hosts.cache import HostCache
from bench.hosts.host import Host, Workspace, concrete
from bench.hosts.login import Address
from bench.hosts.sampling import samplers
from bench.hosts.ssh import SshChannel
from bench.hosts.workspace import Answer
from bench.records.cluster import ClusterSpec, Owner
from bench.text import plural

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One machine of the inventory; ``internal`` is where the other hosts find it, if elsewhere.

    With ``build`` the engines' Python environments are built there.
    """

    address: Address
    internal: str | None = None
    build: bool = False


class Inventory:
    """Hands out hosts of a list of machines, in its order; keeps a connection to each."""

    def __init__(
        self,
        entries: Sequence[Entry],
        *,
        driver: str | None = None,
        spares: int = 1,
        at_once: int = workspace.AT_ONCE,
        folder: str = workspace.FOLDER,
        least_free: int = workspace.LEAST_FREE,
        ask_seconds: float = 30.0,
    ) -> None:
        """``spares`` machines may fail and be replaced; ``at_once`` are prepared in parallel.

        Before anything is started, no more machines are asked after ``ask_seconds``.
        """
        self.ask_seconds = ask_seconds
        self._entries = {entry.address.name: entry for entry in entries}
        self.channels = {name: SshChannel(entry.address) for name, entry in self._entries.items()}
        self._driver = driver
        self._spares = spares
        self._at_once = at_once
        self._folder = folder
        self._least_free = least_free
        self._answers: dict[str, Answer] = {}  # of those that were asked before anything started
        self._asking = 0.0  # seconds so far
        self._indices: dict[str, itertools.count[int]] = {}  # never one twice: files may stay

    @property
    def capacity(self) -> int:
        """How many workers there can be at most."""
        return len(self._candidates())

    def ask(self, workers: int) -> dict[str, Answer]:
        """Return facts of machines for so many workers and the driver, or why one cannot be used.

        Machines are asked in the inventory's order, each once, and no more than are needed; after
        ``ask_seconds`` no others are.
        """
        wanted = [] if self._driver is None else [self._driver]
        rest = self._candidates()
        good = 0
        while rest and good < workers:
            batch, rest = rest[: workers - good], rest[workers - good :]
            wanted += batch
            self._ask(wanted)
            good += sum(not isinstance(self._answers[name], LaunchFailed) for name in batch)
        return {name: self._answers[name] for name in wanted}

    def builds(self, name: str) -> bool:
        """Return whether the engines' Python environments are built on a machine."""
        return self._entries[name].build

    def unbuilt(self, names: Sequence[str], engine: Engine) -> dict[str, str | None]:
        """Return why an engine's environment cannot be built on machines that were asked."""

        def lacking(name: str) -> str | None:
            channel = self.channels[name]
            try:
                return python_env.lacking(channel, self._workspace(channel).cache, engine)
            except LaunchFailed as error:
                return error.what

        return self._each(lacking, names)

    def unlimited(self, names: Sequence[str]) -> dict[str, str | None]:
        """Return why CPU limits cannot be held on machines that were asked, None where they can."""

        def reason(name: str) -> str | None:
            try:
                why: str | None = self.channels[name].call("quotas")
            except LaunchFailed as error:
                return error.what
            return why

        return self._each(reason, names)

    def _each(
        self, look: Callable[[str], str | None], names: Sequence[str]
    ) -> dict[str, str | None]:
        with ThreadPoolExecutor(max_workers=self._at_once) as pool:
            return dict(zip(names, pool.map(look, names), strict=True))

    def package(self, name: str, package: str) -> str | None:
        """Return the folder of a package that the Python of a machine that was asked has."""
        found: str | None = self.channels[name].call("package", name=package)
        return found

    def scale(
        self, hosts: Sequence[contracts.Host], spec: ClusterSpec, owner: Owner
    ) -> list[contracts.Host]:
        """Return a driver and the workers on prepared machines: of ``hosts`` the first, and new.

        Raises LaunchFailed that names the machines that failed; nothing new is left then.
        """
        kept = concrete(hosts)[: spec.workers + 1]
        self.release(hosts[spec.workers + 1 :])
        working = {host.name for host in kept[1:]}
        lacking = spec.workers - len(kept[1:])
        if not lacking and kept:
            return list(kept)
        machines = self._machines(lacking, working)
        beside = kept[1].name if kept[1:] else machines[0]
        names = [] if kept else [self._driver_machine(beside)]
        return [*kept, *self._create([*names, *machines], owner)]

    def install_engine(
        self, hosts: Sequence[contracts.Host], engine: Engine
    ) -> list[contracts.Host]:
        """Put an engine's Python environment in place where it is to be built, once a digest.

        Returns the hosts, spares in the place of those where it cannot be built. LaunchFailed
        names these where there are too few spares.
        """
        held = concrete(hosts)
        failures: dict[str, LaunchFailed] = {}
        fresh: list[Host] = []
        try:
            while True:
                building = [host for host in held if self._entries[host.name].build]
                failed = python_env.install_engine(building, engine, self._at_once)
                if not failed:
                    return list(held)
                failures |= failed
                held = self._replaced(held, failures, fresh)
        except BaseException:
            self.release(fresh)
            raise

    def _replaced(
        self, held: Sequence[Host], failures: Mapping[str, LaunchFailed], fresh: list[Host]
    ) -> list[Host]:
        """Release the hosts on machines that failed; return them all, with new ones (``fresh``)."""
        driver, *workers = held
        if self._driver is not None and self._driver in failures:
            raise failures[self._driver]
        doomed = [host for host in held if host.name in failures]
        working = {host.name for host in workers}
        lost = sum(host in doomed for host in workers or [driver])
        machines = self._machines(lost, working | set(failures), failures.values())
        self.release(doomed)
        made = self._create(machines, driver.owner)
        fresh += made
        added = iter(made)
        workers = [next(added) if host in doomed else host for host in workers]
        if driver in doomed and not workers:
            driver = next(added)
        elif driver in doomed:
            (driver,) = self._create([workers[0].name], driver.owner)
            fresh.append(driver)
        return [driver, *workers]

    def _create(self, names: Sequence[str], owner: Owner) -> list[Host]:
        """Make hosts on prepared machines, all or none."""
        indices = self._indices.setdefault(owner.mark, itertools.count())
        made: list[Host] = []
        try:
            for name in names:
                channel = self.channels[name]
                address = self._entries[name].internal or channel.peer
                folders = self._workspace(channel)
                made.append(Host(channel, folders, address, owner, next(indices)))
                made[-1].create()
        except BaseException:
            self.release(made)
            raise
        return made

    def release(self, hosts: Sequence[contracts.Host]) -> None:
        """End what runs on the hosts and remove it; a lost machine keeps it, tagged."""
        tagged.release(hosts)

    def owned(self) -> Iterable[OwnedResource]:
        """List what carries an owner's tag on machines that answer; the others are warned of."""
        seen: set[str] = set()
        return self._everywhere(lambda channel, folders: owned.find(channel, [folders.work], seen))

    def caches(self) -> Iterable[Cache]:
        """List the caches that hold something on the machines that answer."""

        def one(channel: SshChannel, folders: Workspace) -> list[HostCache]:
            cache = HostCache(channel, folders)
            return [cache] if cache.found else []

        return self._everywhere(one)

    def _everywhere(self, look: Callable[[SshChannel, Workspace], Iterable[_T]]) -> list[_T]:
        """Look at this user's folders on each machine that answers; the others are warned of."""
        found: list[_T] = []
        channels = list(self.channels.values())
        for channel, answer in zip(channels, workspace.ask(channels, self._at_once), strict=True):
            try:
                if isinstance(answer, LaunchFailed):
                    raise answer
                found += look(channel, self._workspace(channel))
            except LaunchFailed as error:
                _log.warning("what may be left there is not known: %s", error)
        return found

    def sources(self, hosts: Sequence[contracts.Host]) -> Sequence[MetricSource]:
        """Return the samplers over all machines; the first host is the driver."""
        return samplers(concrete(hosts))

    def close(self) -> None:
        """End the connections."""
        for channel in self.channels.values():
            channel.close()

    def _workspace(self, channel: SshChannel) -> Workspace:
        return workspace.workspace(channel, self._folder)

    def _candidates(self) -> list[str]:
        return [name for name in self._entries if name != self._driver]

    def _driver_machine(self, beside: str) -> str:
        """Return the driver's own machine, prepared, or the worker's that it is ``beside``."""
        if self._driver is None:
            return beside
        (failure,) = self._prepare([self._driver])
        if isinstance(failure, LaunchFailed):
            raise LaunchFailed(f"the driver's {failure.what}", remedy=failure.remedy)
        return self._driver

    def _machines(
        self, count: int, working: set[str], failed: Iterable[LaunchFailed] = ()
    ) -> list[str]:
        """Return ``count`` prepared machines, spares in the place of those that failed."""
        rest = [name for name in self._candidates() if name not in working]
        good: list[str] = []
        failures = list(failed)
        while len(good) < count:
            taken, rest = rest[: count - len(good)], rest[count - len(good) :]
            for name, answer in zip(taken, self._prepare(taken), strict=True):
                if isinstance(answer, LaunchFailed):
                    failures.append(answer)
                else:
                    good.append(name)
            if len(failures) > self._spares or not taken:
                raise self._lacking(count, len(good), failures)
        for failure in failures:
            _log.warning("a spare takes its place: %s", failure)
        return good

    def _lacking(self, count: int, good: int, failures: Sequence[LaunchFailed]) -> LaunchFailed:
        why = "; ".join(failure.what for failure in failures)
        what = f"{good} of {plural(count, 'host')} can be used"
        remedy = failures[0].remedy if failures else "list more hosts, or ask for fewer workers"
        return LaunchFailed(f"{what}: {why}" if why else what, remedy=remedy)

    def _prepare(self, names: Sequence[str]) -> list[Answer]:
        channels = [self.channels[name] for name in names]
        return workspace.prepare(channels, self._folder, self._at_once, self._least_free)

    def _ask(self, names: Sequence[str]) -> None:
        """Ask those that were not asked yet, while there is time for it."""
        fresh = [name for name in names if name not in self._answers]
        if fresh and self._asking >= self.ask_seconds:
            what = f"was not asked: others took {self._asking:.0f} s to answer or not to"
            late: dict[str, Answer] = {n: LaunchFailed(f"host {n} {what}") for n in fresh}
            self._answers.update(late)
            return
        began = time.monotonic()
        answers = workspace.ask([self.channels[name] for name in fresh], self._at_once)
        self._asking += time.monotonic() - began
        self._answers.update(zip(fresh, answers, strict=True))
