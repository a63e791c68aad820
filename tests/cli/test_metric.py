"""``metric`` in a study, ``--metric`` on a verb, and labels that change nothing."""

from __future__ import annotations

import json
from pathlib import Path

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
