"""Small campaigns for the tests: study files, and a listener that remembers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import environments, runner, study, workloads
from bench.records.results import Run
from bench.records.study import Cell
from bench.runner import CampaignSummary
from bench.store.folder import Store

FAKE = """
title   = "a fake"
workers = {workers}
repeats = {repeats}
retries = {retries}
timeout = "{timeout}"
[[workload]]
use     = ["spark-logistic-regression", "tensorflow-logistic-regression"]
dataset = "synthetic"
[[environment]]
name = "fake"
kind = "fake"
{more}
"""


def write(folder: Path, name: str = "fake", **changes: object) -> Path:
    """Write a study of the fake environment and return its path."""
    said: Mapping[str, object] = {
        "workers": [1, 2],
        "repeats": 2,
        "retries": 0,
        "timeout": "30 s",
        "more": "",
        **changes,
    }
    path = folder / f"{name}.toml"
    path.write_text(FAKE.format(**said))
    return path


class Memory:
    """Remembers what a campaign told."""

    def __init__(self) -> None:
        self.planned = 0
        self.wanted: list[Cell] = []
        self.runs: list[Run] = []
        self.notes: list[str] = []

    def begin(self, planned: int, wanted: Sequence[Cell], runs: Sequence[Run]) -> None:
        self.planned, self.wanted = planned, list(wanted)

    def cell(self, cell: Cell, attempt: int) -> None:
        pass

    def stage(self, cell: Cell, text: str) -> None:
        pass

    def finished(self, run: Run) -> None:
        self.runs.append(run)

    def more(self, cells: Sequence[Cell]) -> None:
        self.wanted += cells

    def note(self, text: str) -> None:
        self.notes.append(text)


def prepare(path: Path) -> runner.PreparedStudy:
    """Read and prepare a study file."""
    read = study.load(path, environments.kinds(), workload=workloads.manifest)
    return runner.prepare(read, path.parent)


def campaign(
    path: Path, store: Store, *, new: bool = False, retry_failed: bool = False
) -> tuple[CampaignSummary, Memory]:
    """Run a study file into a store."""
    memory = Memory()
    with prepare(path) as prepared:
        tally = runner.run(prepared, store, memory, new=new, retry_failed=retry_failed)
    return tally, memory
