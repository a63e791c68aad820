"""``metric`` in a study, ``--metric`` on a verb, and labels that change nothing."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from bench.reading.study import Question, answers
from bench.store.folder import Store
from tests.analysis.factory import session
from tests.analysis.metrics import bundle, campaign
from tests.cli.test_bad_input import benchcast

STUDY = """
title   = "labels"
workers = [1, 2]
repeats = 2

[dataset.{data}]
generator = "spark-perf"
rows      = 1000
features  = 10

[[workload]]
name    = "{workload}"
use     = "spark-logistic-regression"
dataset = "{data}"

[[environment]]
name = "{place}"
kind = "fake"
"""


def test_renaming_measures_nothing_anew_and_the_page_has_the_new_names(work: Path) -> None:
    study = Path("labels.toml")
    study.write_text(STUDY.format(data="big", workload="old-job", place="old-place"))
    done = benchcast("run", str(study))
    assert done.returncode == 0, done.stderr
    study.write_text(STUDY.format(data="large", workload="new-job", place="new-place"))
    plan = json.loads(benchcast("plan", str(study), "--json").stdout)
    assert plan["data"]["left"] == 0
    page = json.loads(benchcast("report", str(study), "--json").stdout)
    (curve,) = page["data"]["analysis"]["scaling"]["curves"]
    assert (curve["workload"], curve["environment"]) == ("new-job", "new-place")
    assert len(curve["points"]) == 2
    text = Path("reports/labels/index.html").read_text()
    assert "old-job" not in text
    assert "old-place" not in text
    again = benchcast("run", str(study))
    assert again.returncode == 0, again.stderr
    assert len(list(Path("results/labels").glob("*/rank-0.log"))) == 4


def test_a_wrong_metric_is_one_line_with_the_nearest_name(work: Path) -> None:
    study = Path("labels.toml")
    text = STUDY.format(data="big", workload="job", place="here")
    study.write_text(text.replace("repeats = 2", 'repeats = 2\nmetric = "throughputt"'))
    refused = benchcast("plan", str(study))
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert 'labels.toml: metric: metric "throughputt" is unknown' in line
    assert "did you mean 'throughput'?" in line
    study.write_text(text)
    assert benchcast("run", str(study)).returncode == 0
    refused = benchcast("report", str(study), "--metric", "thruput")
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert "--metric thruput: these results have no such metric; allowed: time, auc" in line


def test_the_metric_of_a_study_is_the_headline_of_its_page(work: Path) -> None:
    study = Path("labels.toml")
    text = STUDY.format(data="big", workload="job", place="here")
    study.write_text(text.replace("repeats = 2", 'repeats = 2\nmetric = "throughput"'))
    assert benchcast("run", str(study)).returncode == 0
    page = json.loads(benchcast("report", str(study), "--json").stdout)["data"]["analysis"]
    assert page["metric"] == {
        "name": "throughput", "unit": "rows/s", "direction": "higher", "aggregate": "median",
    }  # fmt: skip
    assert {row["why_not"] for row in page["runs"]} == {"it reports no throughput that counts"}
    page = json.loads(benchcast("report", str(study), "--metric", "time", "--json").stdout)
    assert {row["why_not"] for row in page["data"]["analysis"]["runs"]} == {""}


def test_plan_and_list_take_another_metric(work: Path) -> None:
    study = Path("labels.toml")
    study.write_text(STUDY.format(data="big", workload="job", place="here"))
    wrong = benchcast("plan", str(study), "--metric", "thruput")
    assert (wrong.returncode, "did you mean 'throughput'?" in wrong.stderr) == (2, True)
    less = benchcast("plan", str(study), "--metric", "throughput")
    assert "detect a change of throughput of -" in less.stdout  # known before the first run
    own = json.loads(benchcast("plan", str(study), "--json").stdout)["data"]
    assert (own["metric"], own["detectable"][0]["change"] > 0) == ("time", True)


def test_a_campaign_with_other_metrics_from_its_results_to_the_page(work: Path) -> None:
    folder = work / "results" / "example"
    folder.mkdir(parents=True)
    cases, runs = campaign()
    begun = session(cases)
    study = msgspec.structs.replace(begun.study, metric="throughput")
    head = msgspec.structs.replace(begun, study=study)
    lines = [msgspec.json.encode(line) for line in (head, bundle(cases[0]), *runs)]
    (folder / "s1.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    done = benchcast("report", str(folder))
    assert done.returncode == 0, done.stderr
    assert "2 workers have 1.741 times the throughput of 1" in done.stdout
    assert "throughput (rows/s)" in Path("reports/example/figures/headline.svg").read_text()
    metrics = Path("reports/example/metrics.csv").read_text()
    assert all(f",{name}," in metrics for name in ("time", "throughput", "latency", "q1", "q2"))
    listed = benchcast("list", str(folder), "--metric", "latency")
    assert sum(" ms " in line for line in listed.stdout.splitlines()) == len(runs)
    data = json.loads(benchcast("list", str(folder), "--metric", "latency", "--json").stdout)
    assert {one["unit"] for one in data["data"]["numbers"].values()} == {"ms"}
    wrong = benchcast("list", str(folder), "--metric", "latancy")
    assert (wrong.returncode, "did you mean 'latency'?" in wrong.stderr) == (2, True)


def test_a_metric_may_be_asked_for_before_there_are_results(work: Path) -> None:
    waiting = answers(Store(work / "results" / "none"), Question(metric="throughput"), print)
    assert (waiting.metric.name, waiting.runs) == ("throughput", ())
