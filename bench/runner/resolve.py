"""Resolves a study from its file and this machine alone: bundles, cells and their keys.

Nothing here opens a connection, asks a machine or needs an environment's extra: verbs that only
read (``report``, ``show``, ``whatif``) use this, ``preflight`` asks the environments.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from bench import environments, workloads
from bench.plan import Auto, Fixed
from bench.plan.progress import Index
from bench.records.cluster import ClusterSpec, Job
from bench.records.results import Bundle
from bench.records.study import Case, Study
from bench.records.workload import Manifest


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """A workload for the runner; ``files`` maps a path in the bundle to a file on this machine."""

    manifest: Manifest
    bundle: Bundle
    files: Mapping[str, str]


class ResolvedStudy(msgspec.Struct, frozen=True, kw_only=True):
    """A study whose cases have their bundles and the facts of machines that are known in advance.

    ``folder`` is the study file's, ``skipped`` maps a case's position to the reason why it cannot
    run here.
    """

    study: Study
    folder: Path
    workloads: Mapping[str, Workload]
    skipped: Mapping[int, str] = {}

    def plan(self, *, retry: Index | None = None) -> Fixed:
        """Return the plan; cells that failed in ``retry`` get one more attempt each."""
        kind = Fixed if self.study.width is None else Auto
        bundles = {workload.bundle.digest: workload.bundle for workload in self.workloads.values()}
        return kind(self.study, skipped=self.skipped, retry=retry, bundles=bundles)

    def job(self, case: Case, run: str) -> Job:
        """Return a case's job for the run with this id."""
        workload = self.workloads[case.use]
        return Job(
            run=run,
            engine=case.engine,
            entry=workload.manifest.entry,
            bundle=workload.files,
            params=case.params,
            datasets=case.datasets,
            metrics={name: metric.unit for name, metric in workload.manifest.metrics.items()},
            workers=case.workers,
            passes=case.passes,
            stages=case.stages,
            timeout=case.policy.timeout,
        )


def resolve(study: Study, folder: Path) -> ResolvedStudy:
    """Resolve a study; paths of workloads are relative to ``folder``."""
    read = {use: _read(use, folder) for use in sorted({case.use for case in study.cases})}
    machines = {spec.name: environments.identity(spec) for spec in study.environments}
    cases = tuple(
        msgspec.structs.replace(
            case, bundle=read[case.use].bundle.digest, machines=machines[case.environment]
        )
        for case in study.cases
    )
    whole = msgspec.structs.replace(study, cases=cases)
    return ResolvedStudy(study=whole, folder=folder, workloads=read)


def cluster_spec(case: Case) -> ClusterSpec:
    """Return the cluster that a case needs."""
    return ClusterSpec(
        engine=case.engine,
        workers=case.workers,
        worker=case.worker,
        driver=case.driver,
        conf=case.conf,
        versions=case.versions,
    )


def _read(use: str, folder: Path) -> Workload:
    source = workloads.find(use, folder)
    files = {path: str(file.resolve()) for path, file in workloads.sources(source).items()}
    return Workload(manifest=workloads.read(source), bundle=workloads.bundle(source), files=files)
