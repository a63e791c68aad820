"""``cleanup`` leaves the living alone, from whichever shell, and says what it did not touch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.directories import sessions_folder, work_roots
from bench.locks import living_sessions
from bench.records.cluster import Owner
from bench.store.folder import Store
from tests.campaigns import write
from tests.cli.test_bad_input import ROOT, benchcast

STORE = Store(Path("results/fake"))


@pytest.fixture
def living(work: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A campaign in the middle of a run that never ends by itself."""
    write(work, more="sleep = 600")
    words = [sys.executable, "-m", "bench", "run", "fake.toml"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(words, env=env, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not any('"started"' in path.read_text() for path in STORE.root.glob("*.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield process
    process.kill()
    process.wait()


def clusters() -> list[Path]:
    return [path for root in work_roots() for path in root.glob("fake/*")]


@pytest.mark.parametrize("copied", [False, True])
def test_a_living_campaign_survives_a_shell_with_another_tmpdir(
    living: subprocess.Popen[bytes], tmp_path: Path, copied: bool
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    if copied:  # then the folder is free: only the session's own lock tells
        theirs = Path("copies/fake")
        theirs.mkdir(parents=True)
        for path in STORE.root.glob("*.jsonl"):
            (theirs / path.name).write_bytes(path.read_bytes())
        done = benchcast("cleanup", "--results", "copies", TMPDIR=str(other))
        assert (done.returncode, done.stdout) == (0, "nothing was left behind\n")
    else:
        done = benchcast("cleanup", "fake.toml", TMPDIR=str(other))
        assert (done.returncode, done.stdout) == (2, "")
        assert "another run uses results/fake; wait for it" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert len(clusters()) == 1
    assert (living.poll(), len(living_sessions())) == (None, 1)


def test_a_dead_campaign_is_cleaned_up_from_a_shell_with_another_tmpdir(
    living: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    living.send_signal(signal.SIGKILL)
    living.wait()
    assert [path.suffix for path in sessions_folder().iterdir()] == [".lock"]
    seen = benchcast("cleanup", "-n", TMPDIR=str(other))
    assert seen.stdout.count("would remove") == 2
    done = benchcast("cleanup", TMPDIR=str(other))
    assert "removed fake cluster" in done.stdout
    assert "removed the unfinished folder of run" in done.stdout
    assert clusters() == []
    assert list(sessions_folder().iterdir()) == []


def test_another_host_s_session_is_listed_and_removed_only_when_asked(work: Path) -> None:
    benchcast("run", str(write(work, repeats=1)))
    (results,) = STORE.root.glob("*.jsonl")
    head, *rest = results.read_text().splitlines()
    session = json.loads(head)
    session["host"] = "0" * 16
    results.write_text("\n".join([json.dumps(session), *rest, ""]))
    owner = Owner(study="fake", session=session["session"], cluster="c9")
    file = work_roots()[0] / "fake" / f"{owner.study}.{owner.tag}"
    file.parent.mkdir(exist_ok=True)
    file.touch()
    done = benchcast("cleanup")
    assert done.stdout.startswith(f"left fake cluster fake.{owner.tag}: of another host")
    assert file.exists()
    assert "removed fake cluster" in benchcast("cleanup", "--other-hosts").stdout
    assert not file.exists()
