"""What stands around a job: whatever goes wrong, its samplers end with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.contracts import Cluster, Execution, Facts, MetricSource
from bench.errors import HostLost
from bench.records.cluster import Job
from bench.runner.execute import RunContext, execute
from bench.runner.stop import Stop
from bench.store.folder import Store
from tests.jobs import job
from tests.runner.test_contention import attempt


class Source:
    """A sampler that knows whether it runs."""

    running = False

    def start(self, interval: float) -> None:
        self.running = True

    def stop(self, folder: Path) -> None:
        self.running = False


class Refusing(Cluster):
    """A cluster whose host is lost, or whose user has enough, while the job is put in place."""

    def __init__(self, error: BaseException) -> None:
        self.facts = Facts()
        self.source = Source()
        self._error = error

    def submit(self, job: Job) -> Execution:
        assert self.source.running
        raise self._error

    def sources(self) -> Sequence[MetricSource]:
        return [self.source]

    def close(self) -> None:
        pass


@pytest.mark.parametrize("error", [HostLost("host a is silent"), KeyboardInterrupt()])
def test_no_sampler_outlives_a_job_that_was_not_submitted(
    tmp_path: Path, error: BaseException
) -> None:
    cluster = Refusing(error)
    context = RunContext(store=Store(tmp_path), stop=Stop(), stage=lambda text: None)
    with pytest.raises(type(error)):
        execute(cluster, job("spark"), attempt(), context)
    assert not cluster.source.running
