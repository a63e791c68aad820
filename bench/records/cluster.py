"""Clusters and jobs as the harness asks for them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bench.records.study import Dataset, Shape, StagesMode
from bench.records.values import Scalar


class Owner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose a resource is: study, session, cluster; its ``mark`` is part of every name."""

    study: str
    session: str
    cluster: str

    @property
    def mark(self) -> str:
        """The owner as one word, ``session.cluster``: both are unique."""
        return f"{self.session}.{self.cluster}"


class Job(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to submit: ``run`` is the run's id and the log's nonce.

    ``bundle`` maps a file's path inside the bundle (``_common/emitter.py``, ``main.py``) to its
    place on this machine; ``entry`` is one of those paths. ``metrics`` maps the metrics that the
    workload may report to their units. ``secrets`` are names only: they are resolved when the job
    is submitted and travel outside its argument.
    """

    run: str
    engine: str
    entry: str
    bundle: Mapping[str, str]
    params: Mapping[str, Scalar]
    datasets: Mapping[str, Dataset]
    metrics: Mapping[str, str] = {}
    secrets: tuple[str, ...] = ()
    workers: int
    passes: int
    stages: StagesMode
    timeout: float


class ClusterSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a cluster must be: engine, worker count, shapes, engine configuration, versions."""

    engine: str
    workers: int
    worker: Shape
    driver: Shape
    conf: Mapping[str, str] = {}
    versions: Mapping[str, str] = {}
