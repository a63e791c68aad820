"""Read a study file: strict, and expanded into cases.

An unknown key, a wrong type or a bad reference is one line: file, key, what is wrong, what is
allowed and the nearest right name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from bench.errors import StudyError, nearest
from bench.records.metrics import TIME
from bench.records.study import SAMPLING, Study
from bench.study import values
from bench.study.environments import DEFAULTS, Kinds, environments
from bench.study.expand import Work, expand
from bench.study.files import read_toml, shared
from bench.study.repetition import repetition
from bench.study.skeleton import skeleton
from bench.study.table import Table
from bench.study.workloads import Find, Workload, workloads
from bench.text import quote

__all__ = ["load", "skeleton"]

KEYS = (
    "title",
    "include",
    "workers",
    "repeats",
    "passes",
    "warmups",
    "seed",
    "order",
    "parallel",
    "sampling",
    "metric",
    "timeout",
    "retries",
    "reuse",
    "pause",
    "limits",
    "site",
    "dataset",
    "workload",
    "environment",
)


class _Limits(TypedDict):
    limit_time: float | None
    limit_machines: int | None


def load(path: Path, kinds: Kinds, *, workload: Find) -> Study:
    """Return the study of a file, checked and expanded.

    ``kinds`` maps an environment kind to the struct of its own settings;
    ``workload(use, folder of the study)`` returns a manifest, as ``bench.workloads.manifest``
    does. Raises StudyError or WorkloadError.
    """
    top = read_toml(path)
    top.only(KEYS)
    title = top.need("title", values.text)
    _check_defaults(top)
    common = shared(top, path)
    places = environments(top, common.sites, kinds)
    names = tuple(place.spec.name for place in places)
    jobs = workloads(top, common.datasets, names, workload)
    expansion = expand(str(path), jobs, places, _work(top))
    order, runs = repetition(top)
    return Study(
        name=path.stem,
        title=title,
        seed=top.get("seed", values.seed, 0),
        repeats=runs.most,
        width=runs.width,
        order=order,
        parallel=top.get("parallel", values.flag, True),
        metric=_metric(top, jobs),
        sampling=top.get("sampling", values.duration_within(*SAMPLING), 1.0),
        environments=tuple(place.spec for place in places),
        cases=tuple(expansion.cases),
        unplanned=tuple(expansion.unplanned),
        **_limits(top.table("limits")),
    )


def _metric(top: Table, jobs: Sequence[Workload]) -> str:
    """Return the headline: time, or a metric that every workload of the study declares."""

    def convert(value: object) -> str:
        declared = [set(job.manifest.all_metrics()) for job in jobs]
        allowed = sorted(set.intersection(*declared))
        if isinstance(value, str) and value in allowed:
            return value
        if isinstance(value, str) and any(value in names for names in declared):
            without = next(job.label for job in jobs if value not in job.manifest.all_metrics())
            raise ValueError(
                f"metric {quote(value)} is not declared by {without}; every workload of the study"
                f" declares: {', '.join(allowed)}"
            )
        near = nearest(value, allowed) if isinstance(value, str) else ""
        raise ValueError(f"metric {quote(value)} is unknown; {near} allowed: {', '.join(allowed)}")

    return top.get("metric", convert, TIME)


def _check_defaults(top: Table) -> None:
    """Check the study's defaults for environments, also those that every environment replaces."""
    checks: dict[str, values.Convert[object]] = {
        "workers": lambda value: values.several(values.whole(1), value),
        "timeout": values.above_zero,
        "retries": values.whole(0),
        "reuse": values.flag,
        "pause": values.duration,
    }
    for key in DEFAULTS:
        top.get(key, checks[key], None)


def _work(top: Table) -> Work:
    passes = top.get("passes", values.whole(1), 1)
    warmups = top.get("warmups", values.whole(0), 0)
    if warmups >= passes:
        raise StudyError(
            f"{top.place('warmups')}: {warmups} leaves no pass to time; {passes - 1} is the most "
            f"with passes = {passes}"
        )
    return Work(passes, warmups)


def _limits(limits: Table) -> _Limits:
    limits.only(("time", "machines"))
    return {
        "limit_time": limits.get("time", values.above_zero, None),
        "limit_machines": limits.get("machines", values.whole(1), None),
    }
