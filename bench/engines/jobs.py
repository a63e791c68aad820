"""A job on a host: its bundle, its one argument, its scratch folder, its threads."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from bench.contracts import Host
from bench.errors import HostLost
from bench.records.cluster import Job
from bench.records.study import Dataset


def threads(cores: int) -> dict[str, str]:
    """Return the variables that pin every numeric library to ``cores`` threads."""
    names = ("BENCH_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys((*names, "NUMEXPR_NUM_THREADS"), str(cores))


def put_bundle(host: Host, job: Job) -> tuple[Path, Path]:
    """Copy the bundle to ``<run>/bundle`` on the host; return the entry and its folder."""
    for path, source in job.bundle.items():
        host.put(Path(source), f"{job.run}/bundle/{path}")
    bundle = host.folder / job.run / "bundle"
    return bundle / job.entry, bundle


def scratch(host: Host, job: Job) -> Path:
    """Return the run's scratch folder on the host; the workload makes it."""
    return host.folder / job.run / "work"


def argument(job: Job, rank: int, folder: str) -> str:
    """Return the job's one JSON argument for the process ``rank``; ``folder`` is its scratch."""
    fields = {
        "run": job.run,
        "rank": rank,
        "params": dict(job.params),
        "datasets": {role: _plain(data) for role, data in job.datasets.items()},
        "metrics": dict(job.metrics),
        "passes": job.passes,
        "stages": job.stages,
        "workers": job.workers,
        "folder": folder,
    }
    return json.dumps(fields, sort_keys=True)


def _plain(data: Dataset) -> dict[str, object]:
    """Return a dataset as the workload reads it, without credentials."""
    plain: dict[str, object] = {"name": data.name, **data.params}
    if data.generator is not None:
        plain["generator"] = data.generator
    if data.source is not None:
        source = msgspec.to_builtins(data.source)
        plain |= {key: value for key, value in source.items() if value and key != "credentials"}
    return plain


def fetch(host: Host, source: Path, target: Path, missing: list[str]) -> bool:
    """Copy from the host; on failure, add the name to ``missing`` and return False."""
    try:
        host.get(source, target)
    except (OSError, HostLost) as error:
        why = error.what if isinstance(error, HostLost) else error.strerror
        missing.append(f"{source.name}: {why}")
        return False
    return True
