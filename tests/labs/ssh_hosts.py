"""The lab's hosts as an environment over SSH, with studies over them, and what is left there."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.hosts.agent import processes
from bench.records.results import Run
from bench.store.folder import Store
from bench.store.reader import Results
from tests.labs.hosts import LabHost
from tests.labs.study_folder import StudyFolder

NAME = "rack"
WORK = ".cache/benchcast/work"
QUICK = """
title   = "quick"
workers = {workers}
repeats = {repeats}
retries = {retries}
[[workload]]
use     = "./quick"
params  = {{ seconds = {seconds}, burn = {burn} }}
"""


@dataclass(frozen=True, kw_only=True)
class SshHosts(StudyFolder):
    """Hosts, and a folder for studies and results."""

    hosts: Sequence[LabHost]

    @property
    def store(self) -> Store:
        """The results of the studies."""
        return Store(self.folder / "results" / NAME)

    @property
    def read(self) -> Results:
        """What the results hold now."""
        return self.store.read()

    def settings(self, **changed: object) -> dict[str, object]:
        """What a study says of these hosts."""
        known = {
            "name": NAME,
            "kind": "ssh",
            "hosts": [host.address for host in self.hosts],
            "user": "root",
            "key": str(self.hosts[0].key),
            "known_hosts": str(self.hosts[0].known_hosts),
            "python": sys.executable,
            "worker": {"cores": 1, "memory": "1 GiB"},
            "unreachable_after": "3 s",
        }
        told = {**known, **changed}
        return {key: value for key, value in told.items() if value is not None}

    def study(self, text: str, **changed: object) -> Path:
        """Write a study over these hosts."""
        return self.write(text, self.settings(**changed), NAME)

    def quickly(
        self,
        workers: object = 2,
        *,
        repeats: int = 1,
        retries: int = 0,
        seconds: float = 0.1,
        burn: float = 0.0,
        **changed: object,
    ) -> Path:
        """Write a study of the quick workload over these hosts."""
        self.quick()
        told = {"workers": workers, "repeats": repeats, "retries": retries}
        text = QUICK.format(**told, seconds=seconds, burn=burn)
        return self.study(text, **changed)

    def during(self, study: Path, act: Callable[[], None], *words: str) -> tuple[int, str]:
        """Run a study and act once a job of it has started; return exit code and errors."""
        with self.popen("run", str(study), *words) as running:
            try:
                self.wait(lambda: any(self.folders("*/*/*/rank-*.log.pid")))
                act()
                _, errors = running.communicate(timeout=240)
            except BaseException:
                running.kill()
                raise
        return running.returncode, errors

    def folders(self, pattern: str) -> Iterator[Path]:
        """Return the content of the hosts' tagged folders."""
        return (path for host in self.hosts for path in (host.home / WORK).glob(pattern))

    def wait(self, seen: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until something is seen."""
        end = time.monotonic() + seconds
        while not seen():
            assert time.monotonic() < end, "it did not begin"
            time.sleep(0.05)

    def left(self, *others: str) -> list[str]:
        """Return what carries a tag of a session of these results, or of ``others``."""
        ours = [*self.read.sessions, *others]
        marked = [env[processes.OWNER] for _, env in processes.scan()]
        groups = [
            str(path)
            for host in self.hosts
            for group in host.groups
            for path in group.rglob("benchcast.*.*")
        ]
        folders = map(str, self.folders("*"))
        found = sorted([*marked, *groups, *folders])
        return [text for text in found if any(session in text for session in ours)]

    def failed(self) -> list[Run]:
        """Return the runs that failed."""
        return [run for run in self.read.runs if run.status != "ok"]
