"""The ranks of a TensorFlow job."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from bench.contracts import Execution, Host, Outcome
from bench.engines import jobs, logs
from bench.engines.meter import Meter
from bench.engines.ranks import Rank, Ranks
from bench.records.cluster import ClusterSpec, Job

BIND_TRIES = 3
BIND_SECONDS = 60.0  # a rank reports a taken port within this time (imports take 7 to 9 s)
_BIND = re.compile(
    r"address already in use|could not start grpc server|failed to bind|no address added", re.I
)


class TensorFlowExecution(Execution):
    """The ranks of one job; it restarts them at most twice if a port is taken."""

    def __init__(self, workers: Sequence[Host], spec: ClusterSpec, job: Job) -> None:
        """Copy the bundle to every worker and start the ranks."""
        self._workers = list(workers)
        self._spec = spec
        self._job = job
        self._tries = 1
        self._meter = Meter(workers)
        self._begun = time.monotonic()
        self._entries = [jobs.put_bundle(host, job) for host in workers]
        self._ranks = self._start()

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield (rank, line) as it comes."""
        return self._ranks.lines()

    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds until every rank has ended."""
        deadline = time.monotonic() + timeout
        while self._ranks.wait(max(0.0, deadline - time.monotonic())):
            if not self._could_not_bind():
                return True
            self._tries += 1
            self._ranks = self._start()
        return False

    def cancel(self) -> None:
        """Stop all ranks, and return when they are gone."""
        self._ranks.cancel()

    def collect(self, folder: Path) -> Outcome:
        """Copy the ranks' logs and the chief's artefacts, and read the hosts' figures."""
        missing: list[str] = []
        fetched: dict[int, Path] = {}
        for number, rank in enumerate(self._ranks.ranks):
            target = folder / f"rank-{number}.log"
            if jobs.fetch(rank.host, rank.process.output, target, missing):
                fetched[number] = target
        for name in logs.artefacts(fetched[0]) if 0 in fetched else []:
            chief = self._workers[0]
            source = jobs.scratch(chief, self._job) / name
            jobs.fetch(chief, source, folder / "artefacts" / name, missing)
        outcome = self._ranks.outcome(fetched, missing)
        return msgspec.structs.replace(
            outcome,
            seconds=outcome.seconds + self._ranks.started - self._begun,
            worker_cpu=self._meter.cpu(),
            events=tuple(self._meter.events()),
        )

    def _start(self) -> Ranks:
        hosts = self._workers
        addresses = [f"{host.address}:{host.free_ports(1)[0]}" for host in hosts]
        ranks: list[Rank] = []
        try:
            for number, host in enumerate(hosts):
                ranks.append(self._spawn(number, host, addresses))
        except BaseException:
            Ranks(ranks).kill()
            raise
        return Ranks(ranks)

    def _spawn(self, number: int, host: Host, addresses: list[str]) -> Rank:
        entry, bundle = self._entries[number]
        cores = self._spec.worker.cores
        joined = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": number}}
        env = {
            **jobs.threads(cores),
            "TF_NUM_INTRAOP_THREADS": str(cores),
            "TF_NUM_INTEROP_THREADS": str(cores),
            "TF_CONFIG": json.dumps(joined),
            "PYTHONPATH": str(bundle),
            "PYTHONUNBUFFERED": "1",
            **self._spec.conf,
        }
        argv = [
            host.python,
            str(entry),
            jobs.argument(self._job, number, str(jobs.scratch(host, self._job))),
        ]
        name = f"{self._job.run}/rank-{number}"
        return Rank(host=host, process=host.spawn(name, argv, env))

    def _could_not_bind(self) -> bool:
        """Return whether to restart the ranks on other ports."""
        ranks = self._ranks
        if ranks.failed is None or ranks.cancelled or self._tries >= BIND_TRIES:
            return False
        if (ranks.ended or 0.0) - ranks.started > BIND_SECONDS:
            return False
        if ranks.lost:
            return False
        texts = (rank.process.read().decode(errors="replace") for rank in ranks.ranks)
        return any(_BIND.search(text) for text in texts)
