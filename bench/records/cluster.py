"""Clusters and jobs that the harness requests, and who owns them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import msgspec

from bench.records.study import Dataset, Shape, StagesMode
from bench.records.values import Scalar


class Owner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who owns a resource: study, session, cluster. Every created name contains its ``tag``."""

    study: str
    session: str
    cluster: str

    @property
    def tag(self) -> str:
        """The owner as one word, ``session.cluster``: both are unique."""
        return f"{self.session}.{self.cluster}"

    @property
    def text(self) -> str:
        """The owner in full, ``study/session/cluster``."""
        return f"{self.study}/{self.session}/{self.cluster}"

    @classmethod
    def from_tag(cls, tag: str, study: str = "") -> Self | None:
        """Return the owner with this tag, or None for text that is not a tag."""
        session, dot, cluster = tag.rpartition(".")
        return cls(study=study, session=session, cluster=cluster) if dot and session else None

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the owner that ``text`` describes; parts that are missing are empty."""
        study, session, cluster = (["", "", *text.rsplit("/", 2)])[-3:]
        return cls(study=study, session=session, cluster=cluster)


class Job(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job to submit: ``run`` is the run's id and the log's nonce.

    ``bundle`` maps a file's path inside the bundle (``_common/emitter.py``, ``main.py``) to its
    file on this machine; ``entry`` is one of those paths. ``metrics`` maps the metrics that the
    workload may report to their units. ``secrets`` holds names only: the environment resolves
    them when it submits the job, and sends the values outside the job's argument.
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
    """The cluster that a case needs: engine, worker count, shapes, engine settings, versions."""

    engine: str
    workers: int
    worker: Shape
    driver: Shape
    conf: Mapping[str, str] = {}
    versions: Mapping[str, str] = {}
