"""Everything that can be known before anything is started: bundles, findings, the plan."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import msgspec

from bench import environments, workloads
from bench.contracts import Environment, Finding
from bench.errors import UnsuitableEnvironment
from bench.plan import Auto, Fixed
from bench.plan.progress import Index
from bench.records.cluster import ClusterSpec, Job
from bench.records.results import Bundle
from bench.records.study import Case, Study
from bench.records.workload import Manifest
from bench.text import plural


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """A workload as the runner needs it; ``files`` maps a path in the bundle to its place here."""

    manifest: Manifest
    bundle: Bundle
    files: Mapping[str, str]


class PreparedStudy(msgspec.Struct, kw_only=True):
    """A study with its environments built, its workloads read and its findings made.

    A context manager that closes the environments. ``skipped`` maps a case's position to the
    reason why it cannot run here.
    """

    study: Study
    folder: Path
    environments: Mapping[str, Environment]
    workloads: Mapping[str, Workload]
    findings: tuple[Finding, ...]
    skipped: Mapping[int, str]

    def close(self) -> None:
        """Close every environment, also where one cannot be closed."""
        with contextlib.ExitStack() as closing:
            for environment in self.environments.values():
                closing.callback(environment.close)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the environments."""
        self.close()

    def plan(self, *, retry: Index | None = None) -> Fixed:
        """Return the plan of the study on these environments."""
        kind = Fixed if self.study.width is None else Auto
        bundles = {one.bundle.digest: one.bundle for one in self.workloads.values()}
        return kind(self.study, skipped=self.skipped, retry=retry, bundles=bundles)

    def job(self, case: Case, run: str) -> Job:
        """Return the job of a case for the run of this id."""
        return _job(case, run, self.workloads[case.use])

    def raise_if_unfit(self) -> None:
        """Raise UnsuitableEnvironment when the study, or every case of it, cannot run here."""
        against = [one for one in self.findings if one.severity == "error" and one.scope == "study"]
        if not against and len(self.skipped) == len(self.study.cases):
            against = [one for one in self.findings if one.severity == "error"]
        if against:
            raise UnsuitableEnvironment(against[0].what, remedy=against[0].remedy)


def prepare(study: Study, folder: Path) -> PreparedStudy:
    """Read the workloads, build the environments and ask them what stands against the study.

    ``folder`` is the study file's: workloads given by path are found from it. The caller closes
    what is returned.
    """
    found = {use: _read(use, folder) for use in sorted({case.use for case in study.cases})}
    with contextlib.ExitStack() as opened:
        places = {
            spec.name: opened.enter_context(environments.build(spec)) for spec in study.environments
        }
        study = _resolved(study, found, places)
        findings, skipped = _checked(study, places)
        opened.pop_all()
    return PreparedStudy(
        study=study,
        folder=folder,
        environments=places,
        workloads=found,
        findings=findings,
        skipped=skipped,
    )


def _checked(
    study: Study, places: Mapping[str, Environment]
) -> tuple[tuple[Finding, ...], Mapping[int, str]]:
    """Return all findings, and why which cases are skipped."""
    findings: dict[Finding, None] = {}
    skipped: dict[int, str] = {}
    for position, case in enumerate(study.cases):
        place = places[case.environment]
        for finding in [*_too_many(study, place, case), *place.check(need(case))]:
            findings[finding] = None
            if finding.severity == "error":
                skipped.setdefault(position, finding.what)
    return tuple(findings), skipped


def _resolved(
    study: Study, found: Mapping[str, Workload], places: Mapping[str, Environment]
) -> Study:
    """Return the study with the cases' bundles and machines, which their keys need."""
    identities = {name: place.identity() for name, place in places.items()}
    cases = tuple(
        msgspec.structs.replace(
            case, bundle=found[case.use].bundle.digest, machines=identities[case.environment]
        )
        for case in study.cases
    )
    return msgspec.structs.replace(study, cases=cases)


def _too_many(study: Study, place: Environment, case: Case) -> list[Finding]:
    """Say that a case takes more machines than the study allows at a time."""
    most = study.limit_machines
    wanted = place.machines(need(case))
    if most is None or wanted <= most:
        return []
    what = f"{plural(case.workers, 'worker')} on {case.environment} take {wanted} machines;"
    what += f" limits.machines = {most}"
    remedy = "ask for fewer workers, or raise the limit"
    return [Finding(severity="error", scope="cell", what=what, remedy=remedy)]


def need(case: Case) -> ClusterSpec:
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
    found = workloads.find(use, folder)
    files = {path: str(place.resolve()) for path, place in workloads.sources(found).items()}
    return Workload(manifest=workloads.read(found), bundle=workloads.bundle(found), files=files)


def _job(case: Case, run: str, workload: Workload) -> Job:
    return Job(
        run=run,
        engine=case.engine,
        entry=workload.manifest.entry,
        bundle=workload.files,
        params=case.params,
        datasets=case.datasets,
        metrics={name: one.unit for name, one in workload.manifest.metrics.items()},
        workers=case.workers,
        passes=case.passes,
        stages=case.stages,
        timeout=case.policy.timeout,
    )
