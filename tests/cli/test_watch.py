"""The page follows the results folder until Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.analysis.study_types import StudyAnalysis
from bench.cli import watch
from tests.analysis.factory import Maker, analysis_of, case, session
from tests.campaigns import write
from tests.cli.test_bad_input import benchcast

PAGE = Path("reports/fake/index.html")


@pytest.fixture
def watching(work: Path) -> Iterator[subprocess.Popen[str]]:
    """Watch a study that has no results yet."""
    write(work)
    argv = [sys.executable, "-u", "-m", "bench", "report", "fake.toml", "--watch"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True)
    yield process
    process.kill()
    process.communicate()


def test_the_page_follows_the_results_until_ctrl_c(watching: subprocess.Popen[str]) -> None:
    assert watching.stdout is not None
    assert "waiting for results in results/fake" in watching.stdout.readline()
    assert benchcast("run", "fake.toml", "--where", "workers=1").returncode == 0
    while "4 runs" not in (line := watching.stdout.readline()):  # or an earlier moment's page
        assert line.startswith(f"page: {PAGE} ("), line
    before = PAGE.stat().st_mtime_ns
    time.sleep(2 * watch.POLL)
    assert PAGE.stat().st_mtime_ns == before  # nothing new, nothing written
    assert benchcast("run", "fake.toml").returncode == 0
    while "8 runs" not in (line := watching.stdout.readline()):
        assert line.startswith("page: "), line
    assert PAGE.stat().st_mtime_ns > before
    watching.send_signal(signal.SIGINT)
    assert watching.wait(30) == 0
    assert watching.communicate() == ("", "")


def test_only_news_are_written_and_the_first_page_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, opened, naps = tmp_path / "results" / "s1.jsonl", list[str](), 0
    lines.parent.mkdir()
    lines.write_text("")
    make, one = Maker(), case()
    runs = [make.run(one, 10.0)]

    def analysed() -> StudyAnalysis:
        return analysis_of([session([one])], [], runs)

    def nap(seconds: float) -> None:
        nonlocal naps
        naps += 1
        if naps == 1:
            lines.write_text("a line that changes nothing\n")
        elif naps == 3:
            runs.append(make.run(one, 11.0, 1))
            lines.write_text("a run\n" * 2)
        elif naps == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr("bench.cli.watch.time.sleep", nap)
    monkeypatch.setattr("bench.cli.watch.typer.launch", opened.append)
    watch.follow(lines.parent, analysed, tmp_path / "page", open_=True)
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(" (")[2] for line in said] == ["1 run, 1 counted)", "2 runs, 2 counted)"]
    assert opened == [(tmp_path / "page" / "index.html").resolve().as_uri()]


def test_it_does_not_go_with_json_and_a_missing_study_is_said(work: Path) -> None:
    write(work)
    both = benchcast("report", "fake.toml", "--watch", "--json")
    assert (both.returncode, "--watch and --json do not go together" in both.stderr) == (2, True)
    none = benchcast("report", "no.toml", "--watch")
    assert (none.returncode, "no.toml does not exist" in none.stderr) == (2, True)
