"""A job on a host: its bundle, its one argument, its scratch folder, its threads."""

from __future__ import annotations

import json
from pathlib import Path

from bench.contracts import Host
from bench.errors import HostLost
from bench.records.cluster import Job


def threads(cores: int) -> dict[str, str]:
    """Return the variables that pin every numeric library to ``cores`` threads."""
    names = ("BENCH_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys((*names, "NUMEXPR_NUM_THREADS"), str(cores))


def put_bundle(host: Host, job: Job) -> tuple[Path, Path]:
    """Bring the bundle to ``<run>/bundle`` on the host; return the entry and its folder."""
    for path, source in job.bundle.items():
        host.put(Path(source), f"{job.run}/bundle/{path}")
    bundle = host.folder / job.run / "bundle"
    return bundle / job.entry, bundle


def scratch(host: Host, job: Job) -> Path:
    """Return the run's scratch folder on the host; the workload makes it."""
    return host.folder / job.run / "work"


def argument(job: Job, rank: int, folder: str) -> str:
    """Return the job's one JSON argument for the process ``rank``; ``folder`` is its scratch."""
    dataset: dict[str, object] = {"name": job.dataset.name, **job.dataset.params}
    if job.dataset.generator is not None:
        dataset["generator"] = job.dataset.generator
    fields = {
        "run": job.run,
        "rank": rank,
        "params": dict(job.params),
        "dataset": dataset,
        "passes": job.passes,
        "stages": job.stages,
        "workers": job.workers,
        "folder": folder,
    }
    return json.dumps(fields, sort_keys=True)


def fetch(host: Host, source: Path, target: Path, missing: list[str]) -> bool:
    """Copy from the host; what cannot be copied is named in ``missing``."""
    try:
        host.get(source, target)
    except (OSError, HostLost) as error:
        why = error.what if isinstance(error, HostLost) else error.strerror
        missing.append(f"{source.name}: {why}")
        return False
    return True
