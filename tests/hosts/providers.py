"""What tests of hosts share: a cluster's spec, hosts on this machine, one without CPU limits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from bench.environments.local.provider import LocalProvider
from bench.hosts.child import ChildChannel
from bench.hosts.host import Host, concrete
from bench.records.cluster import ClusterSpec, Owner
from bench.records.study import Shape

NO_QUOTAS = "control groups cannot be written here"


def spec(workers: int = 1, engine: str = "none") -> ClusterSpec:
    """A cluster of the smallest workers."""
    return ClusterSpec(engine=engine, workers=workers, worker=Shape(), driver=Shape())


@contextlib.contextmanager
def local_hosts(owner: Owner, workers: int = 1) -> Iterator[list[Host]]:
    """A driver and workers on this machine."""
    provider = LocalProvider()
    hosts = concrete(provider.scale([], spec(workers), owner))
    try:
        yield hosts
    finally:
        provider.release(hosts)
        provider.close()


class NoQuotas(ChildChannel):
    """This machine, as one whose control groups may not be written."""

    def call(self, op: str, **arguments: Any) -> Any:
        """Answer ``quotas``; let the agent answer everything else."""
        return NO_QUOTAS if op == "quotas" else super().call(op, **arguments)
