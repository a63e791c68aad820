"""The reference campaign: what of it is committed, and what the README says of it.

    python -m tests.reference trim      keep of results/reference what a reader needs
    python -m tests.reference replay    predict each worker count from each run's event log
    python -m tests.reference readme    write its figures into README.md

Run after ``benchcast run studies/reference.toml``; ``make reference`` does all of it.
"""

from __future__ import annotations

import csv
import json
import operator
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pyarrow

from bench.analysis.runs.grouping import select
from bench.analysis.runs.representatives import of_curves
from bench.analysis.study_types import StudyAnalysis
from bench.report import format
from bench.report.answer import answer
from bench.report.sections.same_work import equality
from bench.run_files.spark_events import EVENTS as EVENT_TYPES
from bench.store.folder import Store
from bench.units import format_memory
from tests.analysis.factory import analysis_of

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "reference"
PAGE = ROOT / "reports" / "reference"
BEGIN, END = "<!-- results/reference begins -->", "<!-- results/reference ends -->"

SAMPLES, EVENTS, TOLD = "samples.parquet", "spark-events.zstd", ":::BENCH "
# What the tables are made of; the rest of a log is large, and tells of the machine's user.
TYPES = {name.decode() for name in EVENT_TYPES}
DROPPED = {"Accumulables", "Callsite", "Details", "Log Urls", "Attributes", "Properties", "User"}
EMPTIED = {"JVM Information", "Hadoop Properties", "System Properties", "Metrics Properties"}
NAMED = {"Host", "Hosts"}
SETTINGS = ("spark.executor.cores", "spark.executor.memory", "spark.cores.", "spark.task.")
REPLAYED = (1, 2, 3)
FOLDERS = re.compile(r"(/[\w.+-]+)+/")


class Prediction(NamedTuple):
    """The work's seconds at ``at`` workers by one run at ``of``, and the median measured there."""

    run: str
    of: int
    at: int
    seconds: float
    measured: float
    refused: str


def trim(results: Path = RESULTS) -> None:
    """Keep what every run reported, its samples and its event log, scrubbed."""
    store = Store(results)
    for run in store.read().runs:
        folder = store.folder(run.run)
        events = folder / EVENTS
        if events.is_file():
            scrub(events)
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.suffix == ".log":
                told = [line for line in path.read_text().splitlines(True) if TOLD in line]
                path.write_text("".join(told))
            elif path.name not in (SAMPLES, EVENTS):
                path.unlink()
    (results / ".lock").unlink(missing_ok=True)


def scrub(path: Path) -> None:
    """Rewrite an event log without the names of the machine and its user."""
    lines = b"".join(_kept(unpacked(path)))
    path.write_bytes(pyarrow.Codec("zstd", compression_level=19).compress(lines, asbytes=True))


def unpacked(path: Path) -> str:
    """Return an event log's text."""
    with pyarrow.input_stream(path, compression="zstd") as packed:
        return str(packed.read().decode())


def _kept(text: str) -> Iterator[bytes]:
    for line in text.splitlines():
        event = json.loads(line)
        if event["Event"] in TYPES:
            yield json.dumps(_clean(event), separators=(",", ":")).encode() + b"\n"


def _clean(value: Any, key: str = "") -> Any:
    if key in NAMED:
        return "worker"
    if key in EMPTIED or key == "Classpath Entries":
        return {}
    if key == "Spark Properties":
        return {name: text for name, text in value.items() if name.startswith(SETTINGS)}
    if isinstance(value, str):
        return FOLDERS.sub("", value)
    if isinstance(value, dict):
        return {name: _clean(part, name) for name, part in value.items() if name not in DROPPED}
    if isinstance(value, list):
        return [_clean(part) for part in value]
    return value


def analysed(results: Path = RESULTS) -> StudyAnalysis:
    """Return what ``benchcast report`` analyses of the reference results."""
    import pyarrow.parquet as parquet

    store = Store(results)
    read = store.read()
    lines = select(read.cases, read.runs).lines
    wanted = [run.run for run in of_curves(lines)]
    samples = {run: parquet.read_table(store.folder(run) / SAMPLES).to_pydict() for run in wanted}
    return analysis_of(
        read.sessions.values(),
        read.machines.values(),
        read.runs,
        cases=read.cases,
        samples=samples,
        limits={one.task: one.quality for one in read.bundles.values()},
    )


def figures(found: StudyAnalysis) -> str:
    """Return what the README says of the reference results, in Markdown."""
    machine = found.machines[0]
    where = f"{machine.cpu_model}, {machine.cores} cores, {format_memory(machine.memory)}"
    began = min(row.started_at for row in found.runs).date()
    rows = ["| curve | workers | runs | time | 95 % interval | speed-up | efficiency |"]
    rows.append("|---|---:|---:|---:|---:|---:|---:|")
    for point in found.scaling.points:
        cell = point.cell
        efficiency = format.percent(point.efficiency.mid if point.efficiency else None)
        facts = [cell.label, str(cell.workers), str(cell.counts.ok)]
        facts.append(format.format_estimate(cell.value, "s"))
        facts.append(format.format_interval(cell.value, "s"))
        facts += [format.format_estimate(point.speedup), efficiency]
        rows.append("| " + " | ".join(facts) + " |")
    said = [f"- {line}" for line in (*answer(found), equality(found.comparison.verdicts))]
    head = f"Measured on {began} on {where}, {len(found.runs)} runs:"
    return "\n".join([head, "", *rows, "", *said, foresight()])


def replayed(run: str, results: Path = RESULTS) -> list[Prediction]:
    """Return what ``whatif`` says from one run at every count that its curve was measured at."""
    counts = ",".join(map(str, REPLAYED))
    words_ = ["whatif", run, "--workers", counts, "--json", "--results", str(results.parent)]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words_], check=True, capture_output=True, text=True
    )
    data = json.loads(done.stdout)["data"]
    return [
        Prediction(
            run=run,
            of=data["replay"]["workers"],
            at=one["point"]["workers"],
            seconds=round(one["point"]["seconds"], 3),
            measured=round(one["measured"], 3),
            refused=one["point"]["refused"],
        )
        for one in data["answers"]
    ]


def replay() -> None:
    """Write what each half-core Spark run predicts into replay.csv."""
    runs = [run for run in Store(RESULTS).read().runs if run.cell.workload == "spark-synthetic"]
    with (RESULTS / "replay.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Prediction._fields)
        for run in runs:
            writer.writerows(replayed(run.run))


def predictions() -> list[Prediction]:
    """Return what replay.csv holds."""
    with (RESULTS / "replay.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        Prediction(
            run=row["run"],
            of=int(row["of"]),
            at=int(row["at"]),
            seconds=float(row["seconds"]),
            measured=float(row["measured"]),
            refused=row["refused"],
        )
        for row in rows
    ]


def errors(of: int, at: int) -> str:
    """Return the median error of predicting a worker count from runs at another, in words."""
    found = [
        abs(one.seconds / one.measured - 1) for one in predictions() if (one.of, one.at) == (of, at)
    ]
    return format.percent(median(found))


def foresight() -> str:
    """Return what the README says of ``whatif``."""
    pairs = {(one.of, one.at): one.refused for one in predictions() if one.of != one.at}
    said, refused = (
        ", ".join(f"{of} → {at}: {errors(of, at)}" for (of, at), why in pairs.items() if known(why))
        for known in (operator.not_, bool)
    )
    return (
        "- `whatif` on the half-core Spark runs, median error of predicting the measured median "
        f"from one run's event log, by worker counts: {said}. Where it says that it cannot know "
        f"(driver and workers want more cores than there are), its best guesses err by: {refused}."
    )


def readme() -> None:
    """Put the figures between README's marks."""
    path = ROOT / "README.md"
    head, _, rest = path.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    path.write_text(f"{head}{BEGIN}\n{figures(analysed())}\n{END}{tail}")


if __name__ == "__main__":
    {"trim": trim, "replay": replay, "readme": readme}[sys.argv[1]]()
