"""Hosts on the study's machines, reached by SSH.

Each worker has a machine of its own; the driver is on ``driver`` if given, else beside worker 0.
Processes write into ``work/<tag>/<index>/`` of the folder on the host only.
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
    """One machine; ``internal`` is its address for the other hosts, if another one.

    With ``build``, uv builds the engines' Python environments on it.
    """

    address: Address
    internal: str | None = None
    build: bool = False


class SshProvider:
    """Provides hosts on a list of machines, in its order; keeps a connection to each."""

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
        """Allow ``spares`` failed machines; prepare ``at_once`` machines in parallel.

        ``check`` asks no further machines after ``ask_seconds``.
        """
        self.ask_seconds = ask_seconds
        self._entries = {entry.address.name: entry for entry in entries}
        self.channels = {name: SshChannel(entry.address) for name, entry in self._entries.items()}
        self._driver = driver
        self._spares = spares
        self._at_once = at_once
        self._folder = folder
        self._least_free = least_free
        self._answers: dict[str, Answer] = {}  # to ``ask``, before any cluster starts
        self._asking = 0.0  # seconds so far
        self._indices: dict[str, itertools.count[int]] = {}  # never reused: files may stay

    @property
    def capacity(self) -> int:
        """The largest possible number of workers."""
        return len(self._candidates())

    def ask(self, workers: int) -> dict[str, Answer]:
        """Return, for enough machines for the workers and the driver, facts or the error.

        It asks machines in their order, each once, and no more than are needed; after
        ``ask_seconds`` it asks no others.
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
        """Return whether uv builds the engines' Python environments on a machine."""
        return self._entries[name].build

    def why_not_installable(self, names: Sequence[str], engine: Engine) -> dict[str, str | None]:
        """Return by machine why an engine cannot be installed; None if it can."""

        def reason(name: str) -> str | None:
            channel = self.channels[name]
            try:
                return python_env.why_not_installable(
                    channel, self._workspace(channel).cache, engine
                )
            except LaunchFailed as error:
                return error.what

        return self._each(reason, names)

    def why_no_cpu_limits(self, names: Sequence[str]) -> dict[str, str | None]:
        """Return by machine why it cannot enforce CPU limits, None if it can."""

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
        """Return the folder of a package that the machine's Python has, or None."""
        folder: str | None = self.channels[name].call("package", name=package)
        return folder

    def scale(
        self, hosts: Sequence[contracts.Host], spec: ClusterSpec, owner: Owner
    ) -> list[contracts.Host]:
        """Return a driver and the workers on prepared machines: present hosts, and new ones.

        LaunchFailed names the machines that failed; the new hosts are then removed.
        """
        keeping = concrete(hosts)[: spec.workers + 1]
        self.release(hosts[spec.workers + 1 :])
        working = {host.name for host in keeping[1:]}
        lacking = spec.workers - len(keeping[1:])
        if not lacking and keeping:
            return list(keeping)
        machines = self._machines(lacking, working)
        beside = keeping[1].name if keeping[1:] else machines[0]
        names = [] if keeping else [self._driver_machine(beside)]
        return [*keeping, *self._create([*names, *machines], owner)]

    def install_engine(
        self, hosts: Sequence[contracts.Host], engine: Engine
    ) -> list[contracts.Host]:
        """Build an engine's Python environment on the hosts that have ``build``.

        Returns the hosts, with spares instead of those where the build fails. LaunchFailed names
        them if there are too few spares.
        """
        present = concrete(hosts)
        failures: dict[str, LaunchFailed] = {}
        fresh: list[Host] = []
        try:
            while True:
                building = [host for host in present if self._entries[host.name].build]
                failed = python_env.install_engine(building, engine, self._at_once)
                if not failed:
                    return list(present)
                failures |= failed
                present = self._replaced(present, failures, fresh)
        except BaseException:
            self.release(fresh)
            raise

    def _replaced(
        self, present: Sequence[Host], failures: Mapping[str, LaunchFailed], fresh: list[Host]
    ) -> list[Host]:
        """Replace the hosts on failed machines; return all hosts and add new ones to ``fresh``."""
        driver, *workers = present
        if self._driver is not None and self._driver in failures:
            raise failures[self._driver]
        doomed = [host for host in present if host.name in failures]
        working = {host.name for host in workers}
        lost = sum(host in doomed for host in workers or [driver])
        machines = self._machines(lost, working | set(failures), failures.values())
        self.release(doomed)
        created = self._create(machines, driver.owner)
        fresh += created
        added = iter(created)
        workers = [next(added) if host in doomed else host for host in workers]
        if driver in doomed and not workers:
            driver = next(added)
        elif driver in doomed:
            (driver,) = self._create([workers[0].name], driver.owner)
            fresh.append(driver)
        return [driver, *workers]

    def _create(self, names: Sequence[str], owner: Owner) -> list[Host]:
        """Create hosts on prepared machines, all or none."""
        indices = self._indices.setdefault(owner.tag, itertools.count())
        created: list[Host] = []
        try:
            for name in names:
                channel = self.channels[name]
                address = self._entries[name].internal or channel.peer
                folders = self._workspace(channel)
                created.append(Host(channel, folders, address, owner, next(indices)))
                created[-1].create()
        except BaseException:
            self.release(created)
            raise
        return created

    def release(self, hosts: Sequence[contracts.Host]) -> None:
        """End the hosts' processes and remove their folders; a lost machine keeps them, tagged."""
        tagged.release(hosts)

    def owned(self) -> Iterable[OwnedResource]:
        """List what carries an owner's tag on machines that answer; log the others."""
        seen: set[str] = set()
        return self._everywhere(lambda channel, folders: owned.find(channel, [folders.work], seen))

    def caches(self) -> Iterable[Cache]:
        """List the caches that are not empty, on machines that answer."""

        def cache_of(channel: SshChannel, folders: Workspace) -> list[HostCache]:
            cache = HostCache(channel, folders)
            return [cache] if cache.entries else []

        return self._everywhere(cache_of)

    def _everywhere(self, look: Callable[[SshChannel, Workspace], Iterable[_T]]) -> list[_T]:
        """Look at this user's folders on each machine that answers; log the others."""
        results: list[_T] = []
        channels = list(self.channels.values())
        for channel, answer in zip(channels, workspace.ask(channels, self._at_once), strict=True):
            try:
                if isinstance(answer, LaunchFailed):
                    raise answer
                results += look(channel, self._workspace(channel))
            except LaunchFailed as error:
                _log.warning("cannot look for leftovers: %s", error)
        return results

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
        """Return the driver's own machine, prepared, or the worker's machine ``beside``."""
        if self._driver is None:
            return beside
        (failure,) = self._prepare([self._driver])
        if isinstance(failure, LaunchFailed):
            raise LaunchFailed(f"the driver's {failure.what}", remedy=failure.remedy)
        return self._driver

    def _machines(
        self, count: int, working: set[str], failed: Iterable[LaunchFailed] = ()
    ) -> list[str]:
        """Return ``count`` prepared machines, with spares instead of failed ones."""
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
                raise self._too_few(count, len(good), failures)
        for failure in failures:
            _log.warning("using a spare host instead: %s", failure)
        return good

    def _too_few(self, count: int, good: int, failures: Sequence[LaunchFailed]) -> LaunchFailed:
        why = "; ".join(failure.what for failure in failures)
        what = f"{good} of {plural(count, 'host')} can be used"
        remedy = failures[0].remedy if failures else "list more hosts, or ask for fewer workers"
        return LaunchFailed(f"{what}: {why}" if why else what, remedy=remedy)

    def _prepare(self, names: Sequence[str]) -> list[Answer]:
        channels = [self.channels[name] for name in names]
        return workspace.prepare(channels, self._folder, self._at_once, self._least_free)

    def _ask(self, names: Sequence[str]) -> None:
        """Ask the machines that were not asked yet, within ``ask_seconds``."""
        fresh = [name for name in names if name not in self._answers]
        if fresh and self._asking >= self.ask_seconds:
            what = f"was not asked: the others took {self._asking:.0f} s"
            late: dict[str, Answer] = {n: LaunchFailed(f"host {n} {what}") for n in fresh}
            self._answers.update(late)
            return
        began = time.monotonic()
        answers = workspace.ask([self.channels[name] for name in fresh], self._at_once)
        self._asking += time.monotonic() - began
        self._answers.update(zip(fresh, answers, strict=True))
