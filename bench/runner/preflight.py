"""Ask the environments of a study, before anything is started, what stands in its way."""

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
    """A resolved study with its environments built and asked; a context manager closes them."""

    environments: Mapping[str, Environment]
    findings: tuple[Finding, ...]

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

    def lanes(self) -> list[set[str]]:
        """Return the environments' names, together where they take turns."""
        return lanes_of(self.environments, parallel=self.study.parallel)

    def raise_if_unfit(self) -> None:
        """Raise UnsuitableEnvironment when the study, or every case of it, cannot run here."""
        errors = [one for one in self.findings if one.severity == "error"]
        blocking = [one for one in errors if one.scope == "study"]
        if not blocking and len(self.skipped) == len(self.study.cases):
            blocking = errors
        if blocking:
            raise UnsuitableEnvironment(blocking[0].what, remedy=blocking[0].remedy)


def prepare(study: Study, folder: Path) -> PreparedStudy:
    """Resolve a study, build its environments, and ask each once for each distinct cluster.

    ``folder`` is the study file's: workloads given by path are found from it. The caller closes
    what is returned.
    """
    resolved = resolve(study, folder)
    with contextlib.ExitStack() as opened:
        places = {
            spec.name: opened.enter_context(environments.build(spec)) for spec in study.environments
        }
        findings, skipped = _checked(resolved.study, places)
        opened.pop_all()
    return PreparedStudy(
        study=resolved.study,
        folder=folder,
        workloads=resolved.workloads,
        skipped=skipped,
        environments=places,
        findings=findings,
    )


def _checked(
    study: Study, places: Mapping[str, Environment]
) -> tuple[tuple[Finding, ...], Mapping[int, str]]:
    """Return all findings, and why which cases are skipped."""
    findings: dict[Finding, None] = {}
    skipped: dict[int, str] = {}
    with listening(lambda text: findings.setdefault(_note(text))):
        for name, spec, positions in _distinct(study):
            place = places[name]
            for finding in [*_too_many(study, name, place, spec), *place.check(spec)]:
                findings[finding] = None
                if finding.severity == "error":
                    skipped |= {n: skipped.get(n, finding.what) for n in positions}
    return tuple(findings), skipped


def _distinct(study: Study) -> Iterator[tuple[str, ClusterSpec, Sequence[int]]]:
    """Yield each cluster that an environment is asked for, with the positions of its cases."""
    found: dict[tuple[str, bytes], tuple[ClusterSpec, list[int]]] = {}
    for position, case in enumerate(study.cases):
        spec = cluster_spec(case)
        key = (case.environment, msgspec.json.encode(spec, order="sorted"))
        found.setdefault(key, (spec, []))[1].append(position)
    for (name, _), (spec, positions) in found.items():
        yield name, spec, positions


def _note(text: str) -> Finding:
    return Finding(severity="warning", scope="study", what=text)


def _too_many(study: Study, name: str, place: Environment, spec: ClusterSpec) -> list[Finding]:
    """Say that a cluster takes more machines than the study allows at a time."""
    most = study.limit_machines
    wanted = place.machines(spec)
    if most is None or wanted <= most:
        return []
    what = f"{plural(spec.workers, 'worker')} on {name} take {wanted} machines;"
    what += f" limits.machines = {most}"
    remedy = "ask for fewer workers, or raise the limit"
    return [Finding(severity="error", scope="cell", what=what, remedy=remedy)]
