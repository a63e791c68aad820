"""The reference campaign: what of it is committed, and what the README says of it.

    python -m tests.reference trim      keep of results/reference what a reader needs
    python -m tests.reference readme    write its figures into README.md

Run after ``benchcast run studies/reference.toml``; ``make reference`` does all of it.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow

from bench.analysis.overview import overview, representatives
from bench.analysis.results import Overview
from bench.report import words
from bench.store import Store

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "reference"
PAGE = ROOT / "reports" / "reference"
BEGIN, END = "<!-- results/reference begins -->", "<!-- results/reference ends -->"

SAMPLES, EVENTS, TOLD = "samples.parquet", "spark-events.zstd", ":::BENCH "
LOGGED_FOR = "spark-synthetic"  # the workload whose event logs are kept: replay is tested on them
# What the tables are made of; the rest of a log is large, and tells of the machine's user.
TYPES = {
    f"SparkListener{name}"
    for name in (
        *("LogStart", "ApplicationStart", "ApplicationEnd", "EnvironmentUpdate"),
        *("ExecutorAdded", "ExecutorRemoved", "JobStart", "JobEnd"),
        *("StageSubmitted", "StageCompleted", "StageExecutorMetrics", "TaskEnd"),
    )
}
DROPPED = {"Accumulables", "Callsite", "Details", "Log Urls", "Attributes", "Properties", "User"}
EMPTIED = {"JVM Information", "Hadoop Properties", "System Properties", "Metrics Properties"}
NAMED = {"Host", "Hosts"}
SETTINGS = ("spark.executor.cores", "spark.executor.memory", "spark.cores.", "spark.task.")
FOLDERS = re.compile(r"(/[\w.+-]+)+/")


def trim(results: Path = RESULTS) -> None:
    """Keep what every run reported and its samples, and one workload's scrubbed event logs."""
    store = Store(results)
    for run in store.read().runs:
        folder = store.folder(run.run)
        events = folder / EVENTS
        if run.cell.workload == LOGGED_FOR and events.is_file():
            _scrub(events)
        else:
            events.unlink(missing_ok=True)
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.suffix == ".log":
                told = [line for line in path.read_text().splitlines(True) if TOLD in line]
                path.write_text("".join(told))
            elif path.name not in (SAMPLES, EVENTS):
                path.unlink()
    (results / ".lock").unlink(missing_ok=True)


def _scrub(path: Path) -> None:
    """Write an event log anew without what names the machine and its user."""
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


def analysed(results: Path = RESULTS) -> Overview:
    """Return what ``benchcast report`` analyses of the reference results."""
    import pyarrow.parquet as parquet

    store = Store(results)
    read = store.read()
    sessions = read.sessions.values()
    wanted = representatives(sessions, read.runs, None)
    samples = {run: parquet.read_table(store.folder(run) / SAMPLES).to_pydict() for run in wanted}
    return overview(
        sessions,
        read.machines.values(),
        read.runs,
        samples=samples,
        tolerances={one.task: one.quality for one in read.bundles.values()},
    )


def figures(found: Overview) -> str:
    """Return what the README says of the reference results, in Markdown."""
    machine = found.machines[0]
    where = f"{machine.cpu_model}, {machine.cores} cores, {words.memory(machine.memory)}"
    began = min(row.started_at for row in found.runs)[:10]
    rows = ["| curve | workers | runs | time | 95 % interval | speed-up | efficiency |"]
    rows.append("|---|---:|---:|---:|---:|---:|---:|")
    for cell in found.cells:
        curve = next(one for one in found.curves if one.id == cell.curve)
        point = next(one for one in curve.points if one.workers == cell.workers)
        efficiency = words.percent(point.efficiency.mid if point.efficiency else None)
        facts = [curve.label, str(cell.workers), str(cell.counts.ok)]
        facts += [words.middle(cell.seconds, "s"), words.span(cell.seconds, "s")]
        facts += [words.middle(point.speedup), efficiency]
        rows.append("| " + " | ".join(facts) + " |")
    said = [f"{line}." if not line.endswith(".") else line for line in words.headline(found)]
    return "\n".join(
        [f"Measured on {began} on {where}, {len(found.runs)} runs:", "", *rows, "", *said]
        + [words.equality(found.verdicts)]
    )


def readme() -> None:
    """Put the figures between README's marks."""
    path = ROOT / "README.md"
    head, _, rest = path.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    path.write_text(f"{head}{BEGIN}\n{figures(analysed())}\n{END}{tail}")


if __name__ == "__main__":
    {"trim": trim, "readme": readme}[sys.argv[1]]()
