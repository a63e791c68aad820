"""What tests of hosts share: a cluster's spec, and a channel to a machine without CPU limits."""

from __future__ import annotations

from typing import Any

from bench.hosts.child import ChildChannel
from bench.records.cluster import ClusterSpec
from bench.records.study import Shape

NO_QUOTAS = "control groups cannot be written here"


def spec(workers: int = 1, engine: str = "none") -> ClusterSpec:
    """A cluster of the smallest workers."""
    return ClusterSpec(engine=engine, workers=workers, worker=Shape(), driver=Shape())


class NoQuotas(ChildChannel):
    """This machine, as one whose control groups may not be written."""

    def call(self, op: str, **arguments: Any) -> Any:  # type: ignore[override]
        """Answer ``quotas``; let the agent answer everything else."""
        return NO_QUOTAS if op == "quotas" else super().call(op, **arguments)
