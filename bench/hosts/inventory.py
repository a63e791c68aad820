"""Machines that are reached by SSH as a provider of hosts: the inventory of a study.

Each worker has a machine of its own; the driver stands on ``driver`` where that is said, else
beside worker 0. All that is written lies in ``<folder>/work/<mark>/<index>/`` over there.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from bench.contracts import Host, Leftover, MetricSource
from bench.errors import LaunchFailed
from bench.hosts.link import Address, Link
from bench.hosts.ssh import SshHost, write
from bench.hosts.sshleft import SshLeftover, find
from bench.hosts.sshsampler import SshSampler
from bench.model import Machine, Owner
from bench.units import plural

LEAST_FREE = 256 << 20  # bytes that a host's disk must have left
_log = logging.getLogger(__name__)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One machine of the inventory; ``internal`` is where the other hosts find it, if elsewhere."""

    address: Address
    internal: str | None = None


class Inventory:
    """Hands out hosts of a list of machines, in its order; keeps a connection to each."""

    def __init__(
        self,
        entries: Sequence[Entry],
        *,
        driver: str | None = None,
        spares: int = 1,
        at_once: int = 16,
        folder: str = ".cache/benchcast",
    ) -> None:
        """``spares`` machines may fail and be replaced; ``at_once`` are prepared in parallel."""
        self._entries = {entry.address.name: entry for entry in entries}
        self.links = {name: Link(entry.address) for name, entry in self._entries.items()}
        self._driver = driver
        self._spares = spares
        self._at_once = at_once
        self._folder = folder
        self._facts: dict[str, dict[str, object]] = {}
        self._indices: dict[str, itertools.count[int]] = {}  # never one twice: files may stay
        self._held: dict[str, dict[int, str]] = {}  # mark -> index -> machine
        self._drivers: dict[str, int] = {}  # mark -> index

    @property
    def capacity(self) -> int:
        """How many workers there can be at most."""
        return len(self._candidates())

    def probe(self) -> dict[str, Machine | LaunchFailed]:
        """Return each machine's facts, or why it cannot be used."""
        return dict(zip(self._entries, self._prepare(list(self._entries)), strict=True))

    def has(self, name: str, package: str) -> bool:
        """Return whether the Python of a machine that was probed has a package."""
        return self.links[name].call("package", name=package) is not None

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
        """End what runs on the hosts and remove it; a lost machine keeps it, marked."""
        for host in hosts:
            if not isinstance(host, SshHost):
                raise TypeError(f"not a host over SSH: {host!r}")
            host.close()
            self._held.get(host.owner.mark, {}).pop(host.index, None)
        for host in hosts:
            if isinstance(host, SshHost):
                host.leave()

    def leftovers(self) -> Iterable[Leftover]:
        """List what carries a mark on the machines that answer; the others are warned of."""
        found: list[SshLeftover] = []
        for name, told in self.probe().items():
            if isinstance(told, LaunchFailed):
                _log.warning("what may be left there is not known: %s", told)
            else:
                found += find(self.links[name], self._work(name))
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

    def _machines(self, count: int, working: set[str]) -> list[str]:
        """Return ``count`` prepared machines, spares in the place of those that failed."""
        rest = [name for name in self._candidates() if name not in working]
        good: list[str] = []
        failures: list[LaunchFailed] = []
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

    def _prepare(self, names: Sequence[str]) -> list[Machine | LaunchFailed]:
        with ThreadPoolExecutor(max_workers=self._at_once) as pool:
            return list(pool.map(self._prepared, names))

    def _prepared(self, name: str) -> Machine | LaunchFailed:
        """Connect, ask for facts and make the work folder; what goes wrong is returned."""
        link = self.links[name]
        try:
            link.connect()
            self._facts[name] = link.call("facts")
            link.call("folder", path=str(self._work(name)), free=LEAST_FREE)
        except LaunchFailed as error:
            return error
        except OSError as error:
            what = f"host {name}: its folder {self._folder} cannot be used: {error.strerror}"
            return LaunchFailed(what, remedy="free space there, or say another folder")
        return SshHost(link, self._facts[name], Path(), "", Owner(**_NOBODY), 0).machine()

    def _work(self, name: str) -> Path:
        return Path(str(self._facts[name]["home"])) / self._folder / "work"

    def _host(self, name: str, owner: Owner, index: int) -> SshHost:
        """Make the marked folder: the owner's facts are written before anything else."""
        link = self.links[name]
        marked = self._work(name) / owner.mark
        write(link, msgspec.json.encode(owner), str(marked / "owner.json"))
        folder = marked / str(index)
        link.call("folder", path=str(folder / "tmp"))
        address = self._entries[name].internal or link.peer
        return SshHost(link, self._facts[name], folder, address, owner, index)


_NOBODY = {"study": "", "session": "", "cluster": ""}
