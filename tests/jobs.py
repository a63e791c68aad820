"""A job and a cluster for tests that never run it, or do not mind what it is."""

from __future__ import annotations

from bench.records.cluster import ClusterSpec, Job
from bench.records.study import Dataset, Shape


def job(engine: str) -> Job:
    """Return a job of one worker and no files."""
    return Job(
        run="r",
        engine=engine,
        entry="main.py",
        bundle={},
        params={},
        datasets={"train": Dataset(name="none")},
        workers=1,
        passes=1,
        stages="fused",
        timeout=1.0,
    )


def spec(engine: str, workers: int = 1) -> ClusterSpec:
    """Return a cluster of workers of the least size."""
    return ClusterSpec(engine=engine, workers=workers, worker=Shape(), driver=Shape())
