"""This machine as a provider of hosts: each host a tagged folder, optionally a control group.

A host's processes write into ``<temporary folder>/benchcast-<uid>/<tag>/<index>/`` only.
Every process carries its owner in its environment, so that the next session finds and removes
the processes of a killed harness.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from bench import contracts
from bench.contracts import Capacity, MetricSource, OwnedResource
from bench.directories import cache_root, work_root, work_roots
from bench.hosts import machine, owned
from bench.hosts.channel import AgentChannel
from bench.hosts.child import ChildChannel
from bench.hosts.host import Host, Workspace, concrete, release
from bench.hosts.sampling import samplers
from bench.records.cluster import ClusterSpec, Owner


class LocalProvider:
    """Hands out parts of this machine."""

    def __init__(self, channel: AgentChannel | None = None) -> None:
        """Use ``channel`` to this machine; by default it starts an agent of its own."""
        self._channel = channel or ChildChannel()
        self._indices: dict[str, itertools.count[int]] = {}  # never reused: files may stay

    def scale(
        self, hosts: Sequence[contracts.Host], spec: ClusterSpec, owner: Owner
    ) -> list[contracts.Host]:
        """Return a driver and the workers: hosts that it already has, and new ones."""
        keeping = concrete(hosts[: spec.workers + 1])
        self.release(hosts[spec.workers + 1 :])
        fresh: list[Host] = []
        try:
            self._channel.connect()
            indices = self._indices.setdefault(owner.tag, itertools.count())
            while len(keeping) + len(fresh) < spec.workers + 1:
                address, folders = self._channel.peer, self._workspace()
                fresh.append(Host(self._channel, folders, address, owner, next(indices)))
                fresh[-1].create()
        except BaseException:
            self.release(fresh)
            raise
        return [*keeping, *fresh]

    def release(self, hosts: Sequence[contracts.Host]) -> None:
        """End the hosts' processes and remove their folders; the last host removes the owner's."""
        release(hosts)

    def owned(self) -> Iterable[OwnedResource]:
        """List what carries an owner's tag on this machine, of dead and living owners."""
        return owned.find(self._channel, work_roots(), set())

    def sources(self, hosts: Sequence[contracts.Host]) -> Sequence[MetricSource]:
        """Return the machine's samplers; the first host is the driver, then the workers."""
        return samplers(concrete(hosts))

    def machine_capacity(self) -> Capacity:
        """Return this machine's cores and memory."""
        return machine.capacity()

    def close(self) -> None:
        """End the agent."""
        self._channel.close()

    def _workspace(self) -> Workspace:
        return Workspace(work=work_root(), cache=cache_root() / "cache")
