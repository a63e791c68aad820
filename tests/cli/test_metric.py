"""A campaign that reports more than time, from its results to every form of the report."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import msgspec
import pytest

from bench.cli.report import analysis_of
from bench.report import write as write_report
from bench.report.sections.metrics import MOST_ITEMS
from bench.store.folder import Store
from tests.analysis.factory import Maker, case, digest, session
from tests.analysis.factory import analysis_of as analysed
from tests.analysis.metrics import METRICS, bundle, campaign, measured
from tests.campaigns import write
from tests.cli.test_bad_input import benchcast, refused


def results(folder: Path, metric: str = "time", *, declared: bool = True) -> Path:
    """Write the results of a study with this headline."""
    folder.mkdir(parents=True)
    cases, runs = campaign()
    begun = session(cases)
    begun = msgspec.structs.replace(
        begun, study=msgspec.structs.replace(begun.study, metric=metric)
    )
    bundles = [bundle(cases[0], METRICS if declared else {})]
    lines = [msgspec.json.encode(line) for line in (begun, *bundles, *runs)]
    (folder / "s1.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return folder


def rows(name: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file of the report."""
    with Path("reports/example", name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_studys_metric_is_the_headline_and_all_others_are_beside_it(work: Path) -> None:
    folder = results(work / "results" / "example", "throughput")
    done = benchcast("report", str(folder))
    assert done.returncode == 0, done.stderr
    assert "2 workers have 1.741 times the throughput of 1" in done.stdout
    first, second = rows("cells.csv")
    assert (first["metric"], first["unit"], first["direction"]) == (
        "throughput",
        "rows/s",
        "higher",
    )
    assert float(second["value"]) == pytest.approx(1000 * 2**0.8, rel=0.02)
    assert "seconds" not in first
    assert {row["unit"] for row in rows("runs.csv")} == {"rows/s"}
    found = rows("metrics.csv")
    assert {row["metric"] for row in found} == {"time", "throughput", "latency", "balance"}
    items = [row["item"] for row in found if row["metric"] == "latency" and row["workers"] == "1"]
    assert items == ["", "q1", "q2"]
    assert {row["n"] for row in found} == {"5"}
    for name in ("index.html", "report.md"):
        text = Path("reports/example", name).read_text()
        assert "throughput over worker count" in text
        assert "declared by the workload and reported by no run that counts: silent." in text
    drawn = Path("reports/example/figures/headline.svg").read_text()
    assert "throughput (rows/s)" in drawn
    assert not Path("reports/example/figures/time.svg").exists()


def test_a_verb_takes_another_metric_and_refuses_an_unknown_one(work: Path) -> None:
    folder = str(results(work / "results" / "example"))
    wrong = benchcast("report", folder, "--metric", "throughputs")
    assert wrong.returncode == 2
    (line,) = wrong.stderr.splitlines()
    assert "--metric throughputs: no such metric here; allowed: time, balance" in line
    assert "did you mean 'throughput'?" in line
    data = json.loads(benchcast("report", folder, "--metric", "latency", "--json").stdout)["data"]
    assert data["analysis"]["metric"] == {
        "name": "latency",
        "unit": "ms",
        "direction": "lower",
        "aggregate": "median",
    }
    assert "2 workers are" in benchcast("report", folder).stdout  # the study's own is time
    listed = benchcast("list", folder, "--metric", "latency")
    assert "latency" in listed.stdout
    assert " ms" in listed.stdout
    assert benchcast("list", folder, "--metric", "latancy").returncode == 2


def test_what_old_results_do_not_declare_is_shown_without_a_direction(work: Path) -> None:
    store = Store(results(work / "results" / "example", declared=False))
    found = analysis_of(store, str(store.root), None)
    page = write_report(found, work / "reports" / "example")
    assert {row["direction"] for row in rows("metrics.csv") if row["metric"] != "time"} == {""}
    assert "| latency | all | not known |" in (page.parent / "report.md").read_text()
    assert found.unreported == ()


def test_people_see_the_first_items_and_the_file_has_all(work: Path) -> None:
    one = case()
    run = measured(Maker().run(one), 1.0, 1.0, 1.0)
    latency = next(m for m in run.measurements if m.item)
    many = tuple(msgspec.structs.replace(latency, item=f"q{n:03d}") for n in range(MOST_ITEMS + 7))
    run = msgspec.structs.replace(run, measurements=many)
    found = analysed([session([one])], [], [run], bundles={digest(one.use): bundle(one)})
    page = write_report(found, work / "reports" / "example")
    assert sum(bool(row["item"]) for row in rows("metrics.csv")) == MOST_ITEMS + 7
    shown = page.read_text()
    assert "q019" in shown
    assert "q020" not in shown
    assert "first 20 items are shown; 7 more are in metrics.csv" in shown
    alone = msgspec.structs.replace(run, measurements=many[:1])
    found = analysed([session([one])], [], [alone], bundles={digest(one.use): bundle(one)})
    shown = write_report(found, work / "reports" / "example").read_text()
    assert "q000" not in shown  # it would say the same again
    assert [row["item"] for row in rows("metrics.csv")] == ["", "", "q000"]


def test_a_study_names_a_metric_that_all_its_workloads_declare(work: Path) -> None:
    top = 'title = "a"\nmetric = "{}"\n'
    study = write(work)
    text = study.read_text()
    study.write_text(text.replace('title   = "a fake"\n', top.format("evaluations")))
    refused(
        benchcast("plan", str(study)),
        'fake.toml: metric: "evaluations" is not a metric of spark-logistic-regression;',
    )
    study.write_text(text.replace('title   = "a fake"\n', top.format("thruput")))
    refused(benchcast("plan", str(study)), "did you mean 'throughput'? allowed: time, auc")
    study.write_text(text.replace('title   = "a fake"\n', top.format("throughput")))
    planned = benchcast("plan", str(study))
    assert planned.returncode == 0, planned.stderr
    assert "detect a change of throughput of -" in planned.stdout
    other = json.loads(benchcast("plan", str(study), "--metric", "time", "--json").stdout)
    assert other["data"]["metric"] == "time"
    wrong = benchcast("plan", str(study), "--metric", "thruput")
    refused(wrong, "--metric thruput: no such metric here;", "did you mean 'throughput'?")


def test_renamed_labels_are_on_the_page_and_measure_nothing(work: Path) -> None:
    study = write(work, more='[dataset.small]\ngenerator = "spark-perf"\nrows = 100')
    text = study.read_text().replace('dataset = "synthetic"', 'dataset = "small"')
    study.write_text(text)
    assert benchcast("run", str(study)).returncode == 0
    renamed = text.replace('"small"', '"tiny"').replace("dataset.small", "dataset.tiny")
    renamed = renamed.replace('name = "fake"', 'name = "elsewhere"')
    entry = '[[workload]]\nuse = "{}"\nname = "{}"\ndataset = "tiny"\n'
    first = renamed.index("[[workload]]")
    entries = entry.format("spark-logistic-regression", "spark")
    entries += entry.format("tensorflow-logistic-regression", "tensors")
    renamed = renamed[:first] + entries + renamed[renamed.index("[[environment]]") :]
    study.write_text(renamed)
    assert "8 cells, 0 to run" in benchcast("plan", str(study)).stdout
    data = json.loads(benchcast("report", str(study), "--json").stdout)["data"]["analysis"]
    assert [curve["label"] for curve in data["scaling"]["curves"]] == ["spark", "tensors"]
    assert {curve["environment"] for curve in data["scaling"]["curves"]} == {"elsewhere"}
    assert {curve["dataset"] for curve in data["scaling"]["curves"]} == {"tiny"}
    facts = {fact["name"]: fact["value"] for fact in data["facts"]}
    assert (facts["environments"], facts["datasets"]) == ("elsewhere (fake)", "tiny")
    assert all(row["counted"] for row in data["runs"])
    chosen = benchcast("report", str(study), "--where", "environment=elsewhere")
    assert "8 runs, 8 counted, 8 planned." in chosen.stdout
