"""``whatif`` on runs whose event logs are hand-made: eight tasks of a second, one after the other.

The work begins a second before the first task and ends half a second after the last one.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow
import pytest

from bench.records import identity, spark_log
from bench.records.results import Run
from bench.records.spark_log import SparkLog
from bench.records.study import Shape
from bench.store.folder import Store
from tests.analysis import factory
from tests.analysis.factory import MACHINE, Maker, case, session
from tests.cli.test_bad_input import benchcast
from tests.eventlogs import Job, Stage, build, even

BEFORE, AFTER = 1.0, 0.5
PARAMS = {"partitions": 8}


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def events(log: SparkLog) -> Iterator[dict[str, Any]]:
    """Yield a log's events with the fields that Spark gives them."""
    yield {"Event": "SparkListenerLogStart", "Spark Version": log.version}
    yield {"Event": "SparkListenerApplicationStart", "Timestamp": milliseconds(log.begin)}
    yield {"Event": "SparkListenerEnvironmentUpdate", "Spark Properties": dict(log.conf)}
    for row in log.executors.to_dict("records"):
        yield {
            "Event": "SparkListenerExecutorAdded",
            "Timestamp": milliseconds(row["added"]),
            "Executor ID": row["executor"],
            "Executor Info": {"Total Cores": row["cores"]},
        }
    for row in log.stages.to_dict("records"):
        info = {
            "Stage ID": row["stage"],
            "Stage Attempt ID": 0,
            "Stage Name": row["name"],
            "Number of Tasks": row["tasks"],
            "Parent IDs": list(row["parents"]),
            "Submission Time": milliseconds(row["submitted"]),
            "Completion Time": milliseconds(row["completed"]),
            "RDD Info": [],
        }
        yield {"Event": "SparkListenerStageCompleted", "Stage Info": info}
    for row in log.tasks.to_dict("records"):
        info = {
            "Task ID": row["task"],
            "Index": row["index"],
            "Attempt": 0,
            "Launch Time": milliseconds(row["launch"]),
            "Executor ID": row["executor"],
            "Locality": row["locality"],
            "Speculative": False,
            "Getting Result Time": 0,
            "Finish Time": milliseconds(row["finish"]),
            "Failed": False,
            "Killed": False,
        }
        figures = {"Executor Run Time": milliseconds(row["run"]), "Executor Deserialize Time": 0}
        yield {
            "Event": "SparkListenerTaskEnd",
            "Stage ID": row["stage"],
            "Stage Attempt ID": 0,
            "Task Info": info,
            "Task Metrics": figures,
        }
    yield {"Event": "SparkListenerApplicationEnd", "Timestamp": milliseconds(log.end)}


def keep(store: Store, run: Run, log: SparkLog) -> None:
    """Write a run's event log and driver log where the store keeps them."""
    folder = store.folder(run.run)
    folder.mkdir()
    text = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events(log))
    (folder / spark_log.FILE).write_bytes(pyarrow.compress(text.encode(), "zstd", asbytes=True))
    times = {"ready": log.begin - BEFORE, "end": log.end + AFTER}
    lines = [
        json.dumps(
            {"v": 1, "run": run.run, "seq": i, "mono_ns": 0, "wall_ns": round(t * 1e9), "event": e}
        )
        for i, (e, t) in enumerate(times.items())
    ]
    (folder / "driver.log").write_text("noise\n" + "".join(f":::BENCH {x}\n" for x in lines))


@pytest.fixture
def runs(work: Path) -> dict[str, Run]:
    """Runs at 1 and 2 workers (of Spark and of TensorFlow) in results/example."""
    one, two = (case(workers=count, params=PARAMS, worker=Shape(cpu_limit=0.5)) for count in (1, 2))
    other = case("tensorflow-logreg")
    store, make = Store(Path("results/example")), Maker()
    store.root.mkdir(parents=True)
    log = build([Job(stages=[Stage(tasks=even(8, run=1.0))])])
    found = {
        "one": make.run(one, 9.5),
        "two": make.run(two, 5.0),
        "again": make.run(two, 6.0, repeat=1),
        "tensorflow": make.run(other),
        "failed": msgspec.structs.replace(
            make.run(one, repeat=1), status="failed", reason="executor lost"
        ),
    }
    made = session([one, two, other])
    local = msgspec.structs.replace(made.study.environments[0], kind="local")
    study = msgspec.structs.replace(made.study, environments=(local,))
    journal = store.journal(msgspec.structs.replace(made, study=study))
    journal.once(msgspec.structs.replace(MACHINE, cores=2))
    for line in factory.CASES.values():
        journal.once(identity.case_line(line))
    for run in found.values():
        journal.write(run)
    journal.close()
    keep(store, found["one"], log)
    return found


def points(run: Run, *words: str) -> list[dict[str, Any]]:
    """Return the answers of ``whatif --json``."""
    done = benchcast("whatif", run.run, "--json", *words)
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)["data"]["answers"]
    return answers


def refused(done: subprocess.CompletedProcess[str], *said: str) -> None:
    """Check that it ended with exit 2 and one line that says all this."""
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("benchcast: ")
    assert [text for text in said if text not in line] == []


def test_the_answer_stands_beside_the_measured_median(runs: dict[str, Run]) -> None:
    answers = points(runs["one"], "--workers", "1,2,4")
    seconds = [answer["point"]["seconds"] for answer in answers]
    assert seconds == pytest.approx([9.5, 5.5, 3.5], abs=0.01)
    assert [(answer["measured"], answer["runs"]) for answer in answers] == [
        (9.5, 1),
        (5.5, 2),
        (None, 0),
    ]
    assert answers[1]["error"] == pytest.approx(0.0, abs=0.01)
    assert answers[2]["error"] is None


def test_counts_beyond_the_machine_keep_a_best_guess(runs: dict[str, Run]) -> None:
    inside, beyond = points(runs["one"], "--workers", "8,2")
    assert inside["point"]["refused"] == ""
    assert beyond["point"]["refused"].startswith("contention: 8 workers of 0.5 cores and the")
    assert beyond["point"]["high"] is None
    assert beyond["point"]["seconds"] == pytest.approx(2.5, abs=0.01)


def test_people_get_a_table(runs: dict[str, Run]) -> None:
    shown = benchcast("whatif", runs["one"].run).stdout
    assert [line.split()[0] for line in shown.splitlines() if " s " in line][:4] == list("1248")
    assert "contention" in shown
    assert "driver alone, which no worker shortens: 1.5 s" in shown
    assert "replayed there: 9.5 s" in shown


def test_what_cannot_be_replayed_says_why(runs: dict[str, Run]) -> None:
    for name, said in (
        ("tensorflow", "is a run of tensorflow, which keeps no log of its tasks; spark does"),
        ("failed", "ended failed: executor lost"),
        ("two", "has no Spark event log (spark-events.zstd)"),
    ):
        refused(benchcast("whatif", runs[name].run), runs[name].run, said)
    refused(benchcast("whatif", "xyz"), "no run's id starts with xyz")


@pytest.mark.parametrize("text", ["0", "1,,2", "10001"])
def test_worker_counts_are_whole_numbers(runs: dict[str, Run], text: str) -> None:
    refused(benchcast("whatif", runs["one"].run, f"--workers={text}"), "from 1 to 10000")


def test_a_log_that_is_not_whole_is_no_base(runs: dict[str, Run]) -> None:
    path = Path("results/example", runs["one"].run, spark_log.FILE)
    with pyarrow.input_stream(path, compression="zstd") as packed:
        torn = packed.read()[:-20]
    path.write_bytes(pyarrow.compress(torn, "zstd", asbytes=True))
    refused(benchcast("whatif", runs["one"].run), "event log is not whole", "torn")


def test_a_run_without_its_window_is_refused(runs: dict[str, Run]) -> None:
    path = Path("results/example", runs["one"].run, "driver.log")
    path.write_text("\n".join(path.read_text().splitlines()[:2]))
    refused(benchcast("whatif", runs["one"].run), "when its work began and ended")
    path.unlink()
    refused(benchcast("whatif", runs["one"].run), "no driver.log")


def test_a_clock_that_was_set_meanwhile_is_noticed(runs: dict[str, Run]) -> None:
    path = Path("results/example", runs["one"].run, "driver.log")
    ready = path.read_text().splitlines()[1]
    wall = json.loads(ready.removeprefix(":::BENCH "))["wall_ns"]
    path.write_text(path.read_text().replace(str(wall), str(wall - 60 * 10**9)))
    refused(benchcast("whatif", runs["one"].run), "took 9.5 s", "69.5 s", "clock was set")


def test_show_and_report_say_where_the_work_went(runs: dict[str, Run]) -> None:
    shown = benchcast("show", runs["one"].run)
    assert "where the work's" in shown.stdout
    assert "counted as rest" in shown.stdout
    data = json.loads(benchcast("show", runs["one"].run, "--json").stdout)["data"]
    parts = data["attribution"]["parts"]
    assert sum(part["seconds"] for part in parts) == pytest.approx(data["attribution"]["wall"])
    assert benchcast("report", "results/example").returncode == 0
    text = Path("reports/example/report.md").read_text()
    assert "## What added workers are lost to" in text
    assert Path("reports/example/figures/losses.svg").is_file()
