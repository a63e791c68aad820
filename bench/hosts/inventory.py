"""Machines that are reached by SSH as a provider of hosts: the inventory of a study.

Each worker has a machine of its own; the driver stands on ``driver`` where that is said, else
beside worker 0. All that is written lies in ``work/<mark>/<index>/`` of the folder over there.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from bench.contracts import Cache, Engine, Host, MetricSource, OwnedResource
from bench.errors import LaunchFailed
from bench.hosts import equipment, sshplace
from bench.hosts.cache import SshCache
from bench.hosts.link import Address, Link
from bench.hosts.ssh import SshHost
from bench.hosts.sshleft import find
from bench.hosts.sshplace import Answer
from bench.hosts.sshsampler import SshSampler
from bench.records.cluster import Owner
from bench.text import plural

ASK_SECONDS = 30.0  # of asking machines before anything is started, after which no more are asked
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
        at_once: int = sshplace.AT_ONCE,
        folder: str = sshplace.FOLDER,
    ) -> None:
        """``spares`` machines may fail and be replaced; ``at_once`` are prepared in parallel."""
        self._entries = {entry.address.name: entry for entry in entries}
        self.links = {name: Link(entry.address) for name, entry in self._entries.items()}
        self._driver = driver
        self._spares = spares
        self._at_once = at_once
        self._folder = folder
        self._answers: dict[str, Answer] = {}  # of those that were asked before anything started
        self._asking = 0.0  # seconds so far
        self._indices: dict[str, itertools.count[int]] = {}  # never one twice: files may stay
        self._held: dict[str, dict[int, str]] = {}  # mark -> index -> machine
        self._drivers: dict[str, int] = {}  # mark -> index

    @property
    def capacity(self) -> int:
        """How many workers there can be at most."""
        return len(self._candidates())

    def ask(self, workers: int) -> dict[str, Answer]:
        """Return facts of machines for so many workers and the driver, or why one cannot be used.

        Machines are asked in the inventory's order, each once, and no more than are needed; after
        ASK_SECONDS no others are.
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
            link = self.links[name]
            try:
                return equipment.lacking(link, sshplace.cache(link, self._folder), engine)
            except LaunchFailed as error:
                return error.what

        return self._each(lacking, names)

    def unlimited(self, names: Sequence[str]) -> dict[str, str | None]:
        """Return why CPU limits cannot be held on machines that were asked, None where they can."""

        def reason(name: str) -> str | None:
            try:
                told: str | None = self.links[name].call("quotas")
            except LaunchFailed as error:
                return error.what
            return told

        return self._each(reason, names)

    def _each(
        self, look: Callable[[str], str | None], names: Sequence[str]
    ) -> dict[str, str | None]:
        with ThreadPoolExecutor(max_workers=self._at_once) as pool:
            return dict(zip(names, pool.map(look, names), strict=True))

    def package(self, name: str, package: str) -> str | None:
        """Return the folder of a package that the Python of a machine that was asked has."""
        found: str | None = self.links[name].call("package", name=package)
        return found

    def install_engine(self, hosts: Sequence[Host], engine: Engine) -> list[Host]:
        """Put an engine's Python environment in place where it is to be built, once a digest.

        Returns the hosts, spares in the place of those where it cannot be built. LaunchFailed
        names these where there are too few spares.
        """
        held = [host for host in hosts if isinstance(host, SshHost)]
        failures: dict[str, LaunchFailed] = {}
        fresh: list[SshHost] = []
        try:
            while True:
                building = [host for host in held if self._entries[host.name].build]
                lacking = equipment.equip(building, engine, self._at_once)
                if not lacking:
                    return list(held)
                failures |= lacking
                held = self._replaced(held, failures, fresh)
        except BaseException:
            self.release(fresh)
            raise

    def _replaced(
        self, held: Sequence[SshHost], failures: Mapping[str, LaunchFailed], fresh: list[SshHost]
    ) -> list[SshHost]:
        """Release the hosts on machines that failed; return them all, with new ones (``fresh``)."""
        driver, *workers = held
        if self._driver is not None and self._driver in failures:
            raise failures[self._driver]
        doomed = [host for host in held if host.name in failures]
        working = {host.name for host in workers}
        lost = sum(host.name in failures for host in workers or [driver])
        machines = iter(self._machines(lost, working | set(failures), failures.values()))
        self.release(doomed)
        owner, indices = driver.owner, self._indices[driver.owner.mark]

        def stand(name: str) -> SshHost:
            host = self._host(name, owner, next(indices))
            self._held[owner.mark][host.index] = name
            fresh.append(host)
            return host

        workers = [stand(next(machines)) if one in doomed else one for one in workers]
        if driver in doomed:
            driver = stand(workers[0].name if workers else next(machines))
            self._drivers[owner.mark] = driver.index
        return [driver, *workers]

    def acquire(self, count: int, owner: Owner) -> list[Host]:
        """Return hosts on prepared machines, an owner's first one for the driver.

        Raises LaunchFailed that names the machines that failed.
        """
        held = self._held.setdefault(owner.mark, {})
        indices = self._indices.setdefault(owner.mark, itertools.count())
        numbers = list(itertools.islice(indices, count))
        if not held:
            self._drivers[owner.mark] = numbers[0]
        driver = self._drivers[owner.mark]
        working = {name for index, name in held.items() if index != driver}
        wanted = sum(number != driver for number in numbers)
        machines = self._machines(max(wanted, 1), working)
        hosts: list[Host] = []
        try:
            for number in numbers:
                name = self._driver_machine(machines) if number == driver else machines.pop(0)
                hosts.append(self._host(name, owner, number))
                held[number] = name
        except BaseException:
            self.release(hosts)
            raise
        return hosts

    def release(self, hosts: Sequence[Host]) -> None:
        """End what runs on the hosts and remove it; a lost machine keeps it, marked.

        One that fails does not keep the others: the first failure is raised in the end.
        """
        held = [host for host in hosts if isinstance(host, SshHost)]
        if len(held) < len(hosts):
            raise TypeError(f"not hosts over SSH: {hosts!r}")
        failures: list[LaunchFailed] = []
        for step in (SshHost.close, SshHost.leave):
            for host in held:
                try:
                    step(host)
                except LaunchFailed as error:
                    failures.append(error)
        for host in held:
            self._held.get(host.owner.mark, {}).pop(host.index, None)
        for failure in failures[1:]:
            _log.warning("%s", failure)
        if failures:
            raise failures[0]

    def owned(self) -> Iterable[OwnedResource]:
        """List what carries a mark on the machines that answer; the others are warned of."""
        seen: set[str] = set()
        return self._everywhere(lambda link, root: find(link, root / "work", seen))

    def caches(self) -> Iterable[Cache]:
        """List the caches that hold something on the machines that answer."""

        def one(link: Link, root: Path) -> list[SshCache]:
            cache = SshCache(link, root)
            return [cache] if cache.found else []

        return self._everywhere(one)

    def _everywhere(self, look: Callable[[Link, Path], Iterable[_T]]) -> list[_T]:
        """Look at this user's place on each machine that answers; the others are warned of."""
        found: list[_T] = []
        links = list(self.links.values())
        for link, answer in zip(links, sshplace.ask(links, self._at_once), strict=True):
            try:
                if isinstance(answer, LaunchFailed):
                    raise answer
                found += look(link, sshplace.root(link, self._folder))
            except LaunchFailed as error:
                _log.warning("what may be left there is not known: %s", error)
        return found

    def sources(self, hosts: Sequence[Host]) -> Sequence[MetricSource]:
        """Return one sampler over all machines; the first host is the driver."""
        return [SshSampler([host for host in hosts if isinstance(host, SshHost)])]

    def close(self) -> None:
        """End the connections."""
        for link in self.links.values():
            link.close()

    def _candidates(self) -> list[str]:
        return [name for name in self._entries if name != self._driver]

    def _driver_machine(self, machines: Sequence[str]) -> str:
        if self._driver is None:
            return machines[0]
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
            for name, told in zip(taken, self._prepare(taken), strict=True):
                if isinstance(told, LaunchFailed):
                    failures.append(told)
                else:
                    good.append(name)
            if len(failures) > self._spares or not taken:
                raise self._lacking(count, len(good), failures)
        for failure in failures:
            _log.warning("a spare takes its place: %s", failure)
        return good

    def _lacking(self, count: int, good: int, failures: Sequence[LaunchFailed]) -> LaunchFailed:
        said = "; ".join(failure.what for failure in failures)
        what = f"{good} of {plural(count, 'host')} can be used"
        remedy = failures[0].remedy if failures else "list more hosts, or ask for fewer workers"
        return LaunchFailed(f"{what}: {said}" if said else what, remedy=remedy)

    def _prepare(self, names: Sequence[str]) -> list[Answer]:
        return sshplace.prepare([self.links[n] for n in names], self._folder, self._at_once)

    def _ask(self, names: Sequence[str]) -> None:
        """Ask those that were not asked yet, while there is time for it."""
        fresh = [name for name in names if name not in self._answers]
        if fresh and self._asking >= ASK_SECONDS:
            what = f"was not asked: others took {self._asking:.0f} s to answer or not to"
            late: dict[str, Answer] = {n: LaunchFailed(f"host {n} {what}") for n in fresh}
            self._answers.update(late)
            return
        began = time.monotonic()
        answers = sshplace.ask([self.links[name] for name in fresh], self._at_once)
        self._asking += time.monotonic() - began
        self._answers.update(zip(fresh, answers, strict=True))

    def _host(self, name: str, owner: Owner, index: int) -> SshHost:
        internal = self._entries[name].internal
        return sshplace.occupy(self.links[name], self._folder, owner, index, internal)
