"""The cluster for a case: the open one, the open one adapted, or a new one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from bench.contracts import Adaptable, Cluster, Environment
from bench.errors import LaunchFailed
from bench.ids import utc_now
from bench.records.cluster import ClusterSpec, Owner
from bench.records.results import ClusterEvent, ClusterEventName
from bench.records.study import Case, Cell
from bench.runner.resolve import cluster_spec
from bench.runner.sharing import is_here, machines_of
from bench.runner.stop import MachineLimit, Stop
from bench.store.journal import Journal


@dataclass(frozen=True, kw_only=True)
class OpenCluster:
    """An open cluster."""

    id: str
    environment: str
    spec: ClusterSpec
    cluster: Cluster

    def can_become(self, spec: ClusterSpec) -> bool:
        """Return whether it fits a spec or can be adapted to it."""
        return spec == self.spec or isinstance(self.cluster, Adaptable)


class Clusters:
    """The clusters of one lane, at most one on each environment.

    Clusters of environments that share machines are not open at the same time. Only on this
    machine they are: its cells take turns, so a waiting cluster is idle.
    """

    def __init__(
        self,
        environments: Mapping[str, Environment],
        owner: Owner,
        journal: Journal,
        limit: MachineLimit,
        ids: Iterator[int],
    ) -> None:
        """``owner`` names study and session; ``ids`` numbers the clusters of all lanes."""
        self._environments = environments
        self._owner = owner
        self._journal = journal
        self._limit = limit
        self._ids = ids
        self._open: dict[str, OpenCluster] = {}
        self._held: dict[str, int] = {}  # environment -> its machines within the limit
        self._unsettled: set[str] = set()
        self.latest = ""  # id of the last cluster that was opened or adapted, or failed to

    @property
    def settled(self) -> bool:
        """Return whether no cluster can have left anything behind."""
        return not self._unsettled

    def make_room(self, case: Case, stop: Stop, waiting: Callable[[], None]) -> float:
        """Close clusters that must not be open beside the case's cluster, and reserve its machines.

        A waiting lane holds no machines. Returns the seconds that it waited.
        """
        name, spec = case.environment, cluster_spec(case)
        current = self._open.get(name)
        if current is not None and not (case.policy.reuse and current.can_become(spec)):
            self.close(name)
        for other in [other_ for other_ in self._open if self._conflicts(other_, name)]:
            self.close(other)
        wanted = self._environments[name].machines(spec)
        begun = time.monotonic()
        while not self._reserve(name, wanted):
            opened = sorted(self._open, key=lambda other_: other_ == name)  # its own comes last
            if not opened:
                self._limit.wait(wanted, stop, waiting)
                self._held[name] = wanted
                return time.monotonic() - begun
            self.close(opened[0])
        return 0.0

    def serve(self, case: Case, launching: Callable[[], None]) -> tuple[OpenCluster, bool]:
        """Return a cluster for the case, and whether it was opened or adapted now.

        After LaunchFailed the environment has no open cluster.
        """
        name, spec = case.environment, cluster_spec(case)
        current = self._open.get(name)
        if current is not None and current.spec == spec:
            return current, False
        launching()
        served = self._opened(name, spec) if current is None else self._adapted(current, spec)
        self._open[name] = served
        self._record(served, "open" if current is None else "adapted")
        self._limit.change(self._held[name], self._environments[name].machines(spec))
        self._held[name] = self._environments[name].machines(spec)
        return served, True

    def release_unused(self, cells: Sequence[Cell]) -> None:
        """Close the clusters of environments on which none of these cells runs."""
        for name in list(self._open):
            if not any(cell.environment == name for cell in cells):
                self.close(name)

    def close(self, name: str) -> None:
        """Close an environment's cluster, if any, and release its machines."""
        current = self._open.pop(name, None)
        if current is not None:
            begun = time.monotonic()
            current.cluster.close()
            seconds = time.monotonic() - begun
            self._unsettled.discard(current.id)
            self._record(current, "closed", {"teardown": seconds})
        self._limit.change(self._held.pop(name, 0), 0)

    def close_all(self) -> None:
        """Close every cluster, even if closing one fails."""
        with contextlib.ExitStack() as stack:
            for name in list(self._held):
                stack.callback(self.close, name)

    def _conflicts(self, other: str, name: str) -> bool:
        """Return whether two environments' clusters must not be open at the same time."""
        first, second = self._environments[other], self._environments[name]
        shared = machines_of(first) & machines_of(second)
        in_turns = is_here(first) and is_here(second)
        return other != name and bool(shared) and not in_turns

    def _reserve(self, name: str, wanted: int) -> bool:
        held = self._held.get(name, 0)
        if not self._limit.change(held, max(held, wanted)):
            return False
        self._held[name] = max(held, wanted)
        return True

    def _opened(self, name: str, spec: ClusterSpec) -> OpenCluster:
        identity = self.latest = f"c{next(self._ids)}"
        line = ClusterEvent(cluster=identity, environment=name, event="opening", at=utc_now())
        self._journal.write(line)
        owner = msgspec.structs.replace(self._owner, cluster=identity)
        self._unsettled.add(identity)
        try:
            cluster = self._environments[name].open(spec, owner)
        except BaseException:  # it has undone everything
            self._unsettled.discard(identity)
            self.close(name)
            raise
        return OpenCluster(id=identity, environment=name, spec=spec, cluster=cluster)

    def _adapted(self, current: OpenCluster, spec: ClusterSpec) -> OpenCluster:
        assert isinstance(current.cluster, Adaptable)  # ``make_room`` closed the others
        self.latest = current.id
        try:
            current.cluster.adapt(spec)
        except LaunchFailed:
            self.close(current.environment)
            raise
        return replace(current, spec=spec)

    def _record(
        self,
        current: OpenCluster,
        event: ClusterEventName,
        phases: Mapping[str, float] | None = None,
    ) -> None:
        facts = current.cluster.facts
        for machine in facts.machines.values():
            self._journal.once(machine)
        line = ClusterEvent(
            cluster=current.id,
            environment=current.environment,
            event=event,
            at=utc_now(),
            phases=dict(facts.phases) if phases is None else phases,
            machines=facts.uses,
        )
        self._journal.write(line)
