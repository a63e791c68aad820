"""Asks the environments of a study for problems before anything is started."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import msgspec

from bench import environments
from bench.contracts import Environment, Finding
from bench.errors import UnsuitableEnvironment
from bench.records.cluster import ClusterSpec
from bench.records.study import Study
from bench.runner.notes import listening
from bench.runner.resolve import ResolvedStudy, cluster_spec, resolve
from bench.runner.sharing import lanes_of
from bench.text import plural


class PreparedStudy(ResolvedStudy, frozen=True, kw_only=True):
    """A resolved study with checked environments; as a context manager it closes them."""

    environments: Mapping[str, Environment]
    findings: tuple[Finding, ...]

    def close(self) -> None:
        """Close every environment, even if closing one fails."""
        with contextlib.ExitStack() as closing:
            for environment in self.environments.values():
                closing.callback(environment.close)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the environments."""
        self.close()

    def lanes(self) -> list[set[str]]:
        """Return sets of the names of environments that take turns."""
        return lanes_of(self.environments, parallel=self.study.parallel)

    def raise_if_unfit(self) -> None:
        """Raise UnsuitableEnvironment if the study, or every case of it, cannot run here."""
        errors = [finding for finding in self.findings if finding.severity == "error"]
        blocking = [finding for finding in errors if finding.scope == "study"]
        if not blocking and len(self.skipped) == len(self.study.cases):
            blocking = errors
        if blocking:
            raise UnsuitableEnvironment(blocking[0].what, remedy=blocking[0].remedy)


def prepare(study: Study, folder: Path) -> PreparedStudy:
    """Resolve a study, build its environments, and ask each once for each distinct cluster.

    ``folder`` is the study file's; paths of workloads are relative to it. The caller closes the
    prepared study.
    """
    resolved = resolve(study, folder)
    with contextlib.ExitStack() as opened:
        built = {
            spec.name: opened.enter_context(environments.build(spec)) for spec in study.environments
        }
        findings, skipped = _checked(resolved.study, built)
        opened.pop_all()
    return PreparedStudy(
        study=resolved.study,
        folder=folder,
        workloads=resolved.workloads,
        skipped=skipped,
        environments=built,
        findings=findings,
    )


def _checked(
    study: Study, built: Mapping[str, Environment]
) -> tuple[tuple[Finding, ...], Mapping[int, str]]:
    """Return all findings, and the reason for each skipped case by its position."""
    findings: dict[Finding, None] = {}
    skipped: dict[int, str] = {}
    with listening(lambda text: findings.setdefault(_note(text))):
        for name, spec, positions in _distinct(study):
            environment = built[name]
            for finding in [*_too_many(study, name, environment, spec), *environment.check(spec)]:
                findings[finding] = None
                if finding.severity == "error":
                    skipped |= {n: skipped.get(n, finding.what) for n in positions}
    return tuple(findings), skipped


def _distinct(study: Study) -> Iterator[tuple[str, ClusterSpec, Sequence[int]]]:
    """Yield each environment's distinct clusters, with the positions of their cases."""
    specs: dict[tuple[str, bytes], tuple[ClusterSpec, list[int]]] = {}
    for position, case in enumerate(study.cases):
        spec = cluster_spec(case)
        key = (case.environment, msgspec.json.encode(spec, order="sorted"))
        specs.setdefault(key, (spec, []))[1].append(position)
    for (name, _), (spec, positions) in specs.items():
        yield name, spec, positions


def _note(text: str) -> Finding:
    return Finding(severity="warning", scope="study", what=text)


def _too_many(
    study: Study, name: str, environment: Environment, spec: ClusterSpec
) -> list[Finding]:
    """Report a cluster with more machines than the study allows at a time."""
    most = study.limit_machines
    wanted = environment.machines(spec)
    if most is None or wanted <= most:
        return []
    what = f"{plural(spec.workers, 'worker')} on {name} take {wanted} machines;"
    what += f" limits.machines = {most}"
    remedy = "ask for fewer workers, or raise the limit"
    return [Finding(severity="error", scope="cell", what=what, remedy=remedy)]
