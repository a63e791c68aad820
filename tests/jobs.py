"""A job for tests that never run it, or do not mind what it is."""

from __future__ import annotations

from bench.records.cluster import Job
from bench.records.study import Dataset


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
