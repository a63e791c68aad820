"""The verbs, as a user calls them, on the fake environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.analysis.statistics.power import GUESS, detectable
from bench.analysis.statistics.types import Noise
from tests.campaigns import write
from tests.cli.test_bad_input import benchcast

VERBS = ("init", "doctor", "list", "plan", "run", "report", "show", "whatif", "cleanup")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str) -> None:
    done = benchcast(verb, "--help")
    assert done.returncode == 0
    assert verb in done.stdout


def test_alone_it_lists_the_verbs_and_the_next_step(work: Path) -> None:
    alone = benchcast()
    assert all(f"\n  {word}" in alone.stdout for word in ("start", "measure", "read", "clean up"))
    assert all(verb in alone.stdout for verb in VERBS)
    assert "next: benchcast init study.toml" in alone.stdout
    assert benchcast("init").returncode == 0
    assert "next: benchcast run study.toml" in benchcast().stdout
    again = benchcast("init")
    assert (again.returncode, "study.toml exists" in again.stderr) == (2, True)


def test_what_init_writes_can_be_planned(work: Path) -> None:
    benchcast("init", "first.toml")
    done = benchcast("plan", "first.toml", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)["data"]
    assert (len(data["cells"]), data["left"]) == (12, 12)


def test_from_plan_to_report(work: Path) -> None:
    study = str(write(work))
    plan = benchcast("plan", study)
    assert "8 cells, 8 to run" in plan.stdout
    assert "would create: fake (fake)" in plan.stdout
    assert "estimated time: unknown until the first runs" in plan.stdout
    assert not Path("results").exists()
    done = benchcast("run", study)
    assert (done.returncode, "8 ok" in done.stdout) == (0, True)
    assert "[8/8]" in done.stderr
    assert "nothing left to run" in benchcast("run", study).stdout
    assert "nothing left to run" in benchcast("plan", study).stdout
    shown = benchcast("report", study)
    assert shown.returncode == 0, shown.stderr
    assert "page: reports/fake/index.html" in shown.stdout
    assert "8 runs, 8 counted, 8 planned." in shown.stdout
    assert "2 workers are" in shown.stdout
    assert "Same work: " in shown.stdout
    page = Path("reports/fake/index.html").read_text()
    assert "a fake" in page
    assert {path.suffix for path in Path("reports/fake").iterdir()} >= {".html", ".md", ".csv"}


def test_plan_says_what_the_repeats_can_detect(work: Path) -> None:
    study = str(write(work, repeats="{ width = 1e-9, at_most = 4 }"))
    plan = benchcast("plan", study)
    assert "12 cells, 12 to run" in plan.stdout
    assert "at most 4" in plan.stdout
    guess = detectable(4, Noise(sd=GUESS, runs=0))
    assert guess is not None
    assert f"4 repeats detect a change of {guess.change:.0%}" in plan.stdout
    assert "noise 5.0% (an assumption until the first runs)" in plan.stdout
    assert benchcast("run", study).returncode == 0
    data = json.loads(benchcast("plan", study, "--json").stdout)["data"]
    assert (len(data["cells"]), data["left"], len(data["wide"])) == (16, 0, 4)
    (effect,) = data["detectable"]
    assert (effect["repeats"], effect["noise"]["runs"], effect["power"]) == (4, 16, 0.8)
    assert "still wide: spark-logistic-regression on fake" in benchcast("plan", study).stdout


def test_show_takes_a_unique_beginning_or_last(work: Path) -> None:
    study = str(write(work))
    benchcast("run", study)
    last = json.loads(benchcast("show", "last", "--json").stdout)["data"]
    run = last["run"]["run"]
    assert json.loads(benchcast("show", run, "--json").stdout)["data"]["run"] == last["run"]
    assert last["files"] == ["rank-0.log"]
    assert run in benchcast("show", run).stdout
    several = benchcast("show", run[:4])
    assert (several.returncode, "give more characters" in several.stderr) == (2, True)
    none = benchcast("show", "xyz")
    assert (none.returncode, "no run's id starts with xyz" in none.stderr) == (2, True)


def test_failed_cells_exit_3_and_are_listed_with_the_reason(work: Path) -> None:
    study = str(write(work, more="fail_workers = [2]"))
    done = benchcast("run", study)
    assert done.returncode == 3
    assert "4 cells have no good run" in done.stderr
    assert "the study asks for this failure" in benchcast("list", study).stdout
    assert benchcast("report", study).returncode == 0


def test_where_selects_cells(work: Path) -> None:
    study = str(write(work))
    assert "4 ok" in benchcast("run", study, "--where", "workers=2").stdout
    assert "4 ok" in benchcast("run", study).stdout


def test_list_and_doctor_say_what_there_is(work: Path) -> None:
    listed = json.loads(benchcast("list", "--json").stdout)["data"]
    assert {"spark-logistic-regression", "tensorflow-logistic-regression"} <= set(
        listed["workloads"]
    )
    assert listed["environments"] == ["fake", "local", "ssh", "vsphere"]
    healthy = json.loads(benchcast("doctor", "--json").stdout)
    assert any("Python" in one["what"] for one in healthy["findings"])
    study = str(write(work, workers=[3], more="capacity = 1"))
    sick = benchcast("doctor", study)
    assert (sick.returncode, "more than the capacity" in sick.stdout) == (1, True)


def test_cleanup_has_nothing_to_do_after_a_good_end(work: Path) -> None:
    study = str(write(work))
    benchcast("run", study)
    assert "nothing was left behind" in benchcast("cleanup", study).stdout
    assert json.loads(benchcast("cleanup", "--json").stdout)["data"]["found"] == []


def test_cleanup_goes_on_where_it_cannot_look(work: Path) -> None:
    benchcast("run", str(write(work)))
    (file,) = Path("results/fake").glob("*.jsonl")
    head, *rest = file.read_text().splitlines()
    session = json.loads(head)
    settings = {"hosts": ["nowhere"], "known_hosts": "none"}
    session["study"]["environments"].append({"name": "rack", "kind": "ssh", "settings": settings})
    file.write_text("\n".join([json.dumps(session), *rest, ""]))
    done = benchcast("cleanup")
    assert (done.returncode, "nothing was left behind" in done.stdout) == (0, True)
    assert "not searched: rack: " in done.stderr
