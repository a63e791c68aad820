"""Verbs that read results contact no machine and need no environment's extra."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench import environments, study, workloads
from bench.records import identity
from bench.runner import resolve
from bench.store.folder import Store
from tests.analysis.factory import MACHINE, Maker, session
from tests.cli.test_bad_input import ROOT
from tests.cli.test_whatif import keep
from tests.eventlogs import Job, Stage, build, even

STUDY = """
title   = "far away"
workers = [1, 2]
repeats = 1
[[workload]]
use     = "spark-logistic-regression"
dataset = "synthetic"
[[environment]]
name   = "rack"
kind   = "ssh"
hosts  = ["10.0.0.1", "10.0.0.2"]
[[environment]]
name   = "clones"
kind   = "vsphere"
vcenter = "vc.example"
datacenter = "dc"
cluster = "c"
template = "t"
"""

# Also what a campaign measured must be read by somebody who has neither extra nor network.
DEAF = """
import socket, sys

class Deaf(socket.socket):
    def __init__(self, *args, **kwargs):
        raise AssertionError("a socket was opened")

socket.socket = Deaf
sys.modules["asyncssh"] = sys.modules["pyVmomi"] = sys.modules["pyVim"] = None
from bench.cli import main
main()
"""


def deaf(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command where no socket can be opened and no extra is installed."""
    return subprocess.run(
        [sys.executable, "-c", DEAF, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def run(work: Path) -> str:
    """A study of far machines with its results; the id of a Spark run with its event log."""
    path = work / "far.toml"
    path.write_text(STUDY)
    read = study.load(path, environments.kinds(), workload=workloads.manifest)
    plan = resolve(read, work).plan()
    store, make = Store(Path("results/far")), Maker()
    store.root.mkdir(parents=True)
    recorded = tuple(one.for_record() for one in read.environments)
    made = session([])
    whole = msgspec.structs.replace(read, environments=recorded, cases=())
    journal = store.journal(msgspec.structs.replace(made, study=whole))
    journal.once(MACHINE)
    runs = []
    for cell in plan.cells:
        journal.once(identity.case_line(plan.case(cell)))
        one = make.run(plan.case(cell), 9.5 / cell.workers)
        runs.append(msgspec.structs.replace(one, cell=cell))
        journal.write(runs[-1])
    journal.close()
    first = next(one for one in runs if one.cell.workers == 1)
    keep(store, first, build([Job(stages=[Stage(tasks=even(8, run=1.0))])]))
    return first.run


@pytest.mark.parametrize(
    "words",
    [
        ("report", "far.toml"),
        ("report", "far.toml", "--json"),
        ("list", "far.toml"),
        ("show", "RUN"),
        ("whatif", "RUN", "--workers", "1,2"),
    ],
    ids=" ".join,
)
def test_reading_opens_no_socket_and_needs_no_extra(run: str, words: tuple[str, ...]) -> None:
    done = deaf(*(run if word == "RUN" else word for word in words))
    assert (done.returncode, done.stderr) == (0, "")
    refused = deaf("plan", "far.toml")  # the same process does notice what needs an extra
    assert (refused.returncode, "asyncssh is not installed" in refused.stderr) == (2, True)
