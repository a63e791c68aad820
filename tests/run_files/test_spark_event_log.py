"""Real event logs of Spark 3.5, 4.1 and 4.3, whole, cut and spoiled."""

from __future__ import annotations

import json
import math
import shutil
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from bench.errors import TelemetryError
from bench.records.spark_log import EXECUTORS, JOBS, STAGES, TASKS, SparkLog
from bench.run_files import spark_log_source
from bench.run_files.spark_event_log import read
from tests.performance.benchmarks.eventlog import grow

LOGS = Path(__file__).with_name("eventlogs")
ROLLED = LOGS / "eventlog_v2_local-1795279127926"
WHOLE = {
    "spark-3.5.9.zstd": "3.5.9",
    "spark-4.1.4.zstd": "4.1.4",
    "spark-4.3.0-two-executors.zstd": "4.3.0",
    "spark-4.3.0.lz4": "4.3.0",
    ROLLED.name: "4.3.0",
}


def zstd(path: Path) -> bytes:
    """Return the text of a committed log."""
    with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
        text: bytes = stream.read()
    return text


PLAIN = zstd(LOGS / "spark-3.5.9.zstd")


def packed(text: bytes) -> bytes:
    """Return text as a zstd frame."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(text)
    frame: bytes = sink.getvalue().to_pybytes()
    return frame


def written(folder: Path, content: bytes, name: str = "log") -> Path:
    """Write a file."""
    path = folder / name
    path.write_bytes(content)
    return path


def events(text: bytes) -> list[dict[str, Any]]:
    """Decode everything, the slow way."""
    return [json.loads(line) for line in text.splitlines()]


def lines(*said: dict[str, Any]) -> bytes:
    """Encode events as Spark does."""
    return b"".join(json.dumps(e, separators=(",", ":")).encode() + b"\n" for e in said)


START = {"Event": "SparkListenerLogStart", "Spark Version": "4.1.4"}


def tables(log: SparkLog) -> dict[str, Any]:
    return {name: getattr(log, name) for name in ("tasks", "stages", "jobs", "executors")}


def same(one: SparkLog, other: SparkLog) -> None:
    for name, table in tables(one).items():
        assert_frame_equal(table, tables(other)[name])
    assert (one.begin, one.end, one.conf) == (other.begin, other.end, other.conf)


@pytest.mark.parametrize(("name", "version"), WHOLE.items())
def test_whole_logs_of_each_version_give_whole_tables(name: str, version: str) -> None:
    log = read(LOGS / name)
    assert (log.version, log.partial, log.notes) == (version, "", ())
    assert len(log.tasks) == log.stages["tasks"].sum() > 0
    assert log.begin < log.jobs["submitted"].min() <= log.tasks["launch"].min()
    assert log.tasks["finish"].max() <= log.end
    assert log.executors["cores"].sum() == 2
    for table, columns in zip(tables(log).values(), (TASKS, STAGES, JOBS, EXECUTORS), strict=True):
        assert {name: str(kind) for name, kind in table.dtypes.items()} == dict(columns)
    assert set(log.stages["stage"]) <= {stage for ids in log.jobs["stages"] for stage in ids}


@pytest.mark.parametrize("name", ["spark-3.5.9.zstd", "spark-4.1.4.zstd"])
def test_figures_are_those_of_a_plain_reading(name: str) -> None:
    ends = [e for e in events(zstd(LOGS / name)) if e["Event"] == "SparkListenerTaskEnd"]
    told = [end["Task Metrics"] for end in ends]
    tasks = read(LOGS / name).tasks
    expected = {
        "launch": [end["Task Info"]["Launch Time"] / 1e3 for end in ends],
        "finish": [end["Task Info"]["Finish Time"] / 1e3 for end in ends],
        "run": [one["Executor Run Time"] / 1e3 for one in told],
        "cpu": [one["Executor CPU Time"] / 1e9 for one in told],
        "deserialize": [one["Executor Deserialize Time"] / 1e3 for one in told],
        "deserialize_cpu": [one["Executor Deserialize CPU Time"] / 1e9 for one in told],
        "serialize": [one["Result Serialization Time"] / 1e3 for one in told],
        "gc": [one["JVM GC Time"] / 1e3 for one in told],
        "fetch_wait": [one["Shuffle Read Metrics"]["Fetch Wait Time"] / 1e3 for one in told],
        "shuffle_write_time": [
            one["Shuffle Write Metrics"]["Shuffle Write Time"] / 1e9 for one in told
        ],
        "shuffle_write": [one["Shuffle Write Metrics"]["Shuffle Bytes Written"] for one in told],
        "shuffle_read": [
            one["Shuffle Read Metrics"]["Local Bytes Read"]
            + one["Shuffle Read Metrics"]["Remote Bytes Read"]
            for one in told
        ],
        "input": [one["Input Metrics"]["Bytes Read"] for one in told],
        "spill_memory": [one["Memory Bytes Spilled"] for one in told],
        "spill_disk": [one["Disk Bytes Spilled"] for one in told],
        "result": [one["Result Size"] for one in told],
        "peak_memory": [one["Peak Execution Memory"] for one in told],
    }
    for column, values in expected.items():
        assert tasks[column].tolist() == pytest.approx(values), column
    assert sum(expected["shuffle_write"]) > 0


def test_python_stages_are_known() -> None:
    stages = read(LOGS / "spark-4.1.4.zstd").stages
    assert stages["python"].tolist() == [False, False, True, True, True]
    assert stages["parents"].tolist()[:4] == [(), (0,), (), (2,)]
    assert stages["job"].tolist() == [0, 0, 1, 1, 2]


def test_every_packing_reads_the_same(tmp_path: Path) -> None:
    same(read(ROLLED), read(LOGS / "spark-4.3.0.lz4"))
    whole = read(LOGS / "spark-3.5.9.zstd")
    same(whole, read(written(tmp_path, PLAIN)))
    middle = PLAIN.index(b"\n", len(PLAIN) // 2) + 1
    same(whole, read(written(tmp_path, packed(PLAIN[:middle]) + packed(PLAIN[middle:]))))


def test_a_log_with_a_lost_executor_and_failed_tasks() -> None:
    log = read(LOGS / "spark-4.3.0-failures.zstd")
    assert log.partial == ""
    assert log.tasks["failed"].any()
    assert not log.tasks["failed"].all()
    assert log.executors["removed"].notna().any()
    assert log.executors["reason"].ne("").any()
    assert log.jobs["failed"].any()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_torn_line_is_a_partial_log(tmp_path: Path, share: float) -> None:
    cut = PLAIN[: int(len(PLAIN) * share)]
    assert not cut.endswith(b"\n")
    log = read(written(tmp_path, cut))
    assert log.partial == "the last line is torn; the application's end is missing"
    complete = [e for e in events(cut[: cut.rfind(b"\n")]) if e["Event"].endswith("TaskEnd")]
    assert len(log.tasks) == len(complete)
    assert math.isnan(log.end)


def test_a_log_cut_between_lines_lacks_its_end(tmp_path: Path) -> None:
    cut = PLAIN[: PLAIN.rindex(b"\n", 0, -1) + 1]
    assert read(written(tmp_path, cut)).partial == "the application's end is missing"
    path = written(tmp_path, cut, "log.inprogress")
    assert "had not ended (.inprogress)" in read(path).partial


def test_a_cut_frame_gives_what_was_before_the_cut(tmp_path: Path) -> None:
    text = PLAIN + PLAIN * 20  # several blocks
    frame = packed(text)
    log = read(written(tmp_path, frame[:-10], "log.zstd"))
    assert "zstd stream broken off" in log.partial
    assert 22 < len(log.tasks) < 22 * 21


@pytest.mark.parametrize("keep", [10_000, 15_007, 20_900])
def test_a_cut_lz4_stream_gives_what_was_before_the_cut(tmp_path: Path, keep: int) -> None:
    cut = (LOGS / "spark-4.3.0.lz4").read_bytes()[:keep]
    log = read(written(tmp_path, cut, "log.lz4"))
    assert "lz4 stream broken off inside a block" in log.partial
    assert log.version == "4.3.0"


def test_a_missing_rolled_file_is_told(tmp_path: Path) -> None:
    folder = tmp_path / ROLLED.name
    shutil.copytree(ROLLED, folder)
    (folder / "appstatus_local-1795279127926").rename(
        folder / "appstatus_local-1795279127926.inprogress"
    )
    (folder / "events_1_local-1795279127926.zstd").rename(
        folder / "events_3_local-1795279127926.zstd"
    )
    log = read(folder)
    assert "had not ended (appstatus .inprogress)" in log.partial
    assert "rolled files missing: 1" in log.partial


def test_a_compacted_file_replaces_those_before_it(tmp_path: Path) -> None:
    folder = tmp_path / ROLLED.name
    shutil.copytree(ROLLED, folder)
    name = "events_1_local-1795279127926.zstd"
    shutil.copy(folder / name, folder / f"{name}.compact")
    (folder / name).write_bytes(b"not to be read")
    same(read(folder), read(ROLLED))


def test_a_failed_task_without_metrics_has_none(tmp_path: Path) -> None:
    end = next(e for e in events(PLAIN) if e["Event"] == "SparkListenerTaskEnd")
    end["Task Info"]["Failed"] = True
    del end["Task Metrics"], end["Task Executor Metrics"]
    tasks = read(written(tmp_path, lines(START, end))).tasks
    assert tasks["failed"].tolist() == [True]
    assert tasks.loc[0, list(TASKS)[list(TASKS).index("getting_result") :]].isna().all()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "empty"),
        (b"\n\n\n", "empty"),
        (b"\xff\xfe\x00binary\x00" * 400, "not a Spark event log"),
        (b'{"record":"run","run":"x"}\n', "not a Spark event log"),
        (b"hello\n", "not a Spark event log"),
        (spark_log_source.ZSTD + b"\x00" * 40, "zstd stream broken off"),
        (
            spark_log_source.LZ4_BLOCK + b"\x25\xff\xff\xff\x7f\xff\xff\xff\x7f" + b"0" * 40,
            "lz4 stream",
        ),
        (packed(b"\x00" * (1 << 20)), "not a Spark event log"),
        (lines(START | {"Spark Version": "2.4.8"}), "3.0 and later"),
        (lines(START | {"Spark Version": "x"}), "3.0 and later"),
    ],
)
def test_what_is_no_event_log_is_one_clear_line(tmp_path: Path, content: bytes, what: str) -> None:
    with pytest.raises(TelemetryError, match=what) as caught:
        read(written(tmp_path, content, "thing"))
    assert "thing" in str(caught.value)
    assert caught.value.exit_code == 2
    assert caught.value.remedy


def test_what_is_not_there_or_of_another_packing_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(TelemetryError, match="does not exist"):
        read(tmp_path / "nowhere")
    with pytest.raises(TelemetryError, match="no events_N"):
        read(tmp_path)
    (tmp_path / "eventlog_v2_x" / "events_1_x").mkdir(parents=True)
    with pytest.raises(TelemetryError, match="events_1_x cannot be read: Is a directory"):
        read(tmp_path / "eventlog_v2_x")
    with pytest.raises(TelemetryError, match="snappy: plain, zstd and lz4"):
        read(written(tmp_path, b"x", "log.snappy"))


def test_a_newer_spark_is_read_with_a_note(tmp_path: Path) -> None:
    log = read(written(tmp_path, PLAIN.replace(b'"3.5.9"', b'"5.0.0"', 1)))
    assert log.notes == ("logs of Spark 5.0 are not tested, only those of 3.5, 4.1, 4.3",)
    assert len(log.tasks) == 22


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_log_source, "MAX_LINE", 1 << 20)
    with pytest.raises(TelemetryError, match="a line longer than 1048576 bytes"):
        read(written(tmp_path, PLAIN + b"0" * (3 << 20)))
    monkeypatch.setattr(spark_log_source, "RATIO_FROM", 4 << 20)
    with pytest.raises(TelemetryError, match="more than 1000 times"):
        read(written(tmp_path, packed(lines(START) + b"\n" * (16 << 20))))


def test_lines_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    nested = b'{"Event":"SparkListenerTaskEnd","Stage ID":0,"Task Info":' + b"[" * 100_000 + b"\n"
    huge = lines({"Event": "SparkListenerApplicationEnd", "Timestamp": "never"})
    wide = lines({"Event": "SparkListenerJobStart", "Job ID": 10**30, "Submission Time": 1})
    latin = b'{"Event":"SparkListenerJobEnd","Job ID":0,"Job Result":{"Result":"\xe9"}}\n'
    middle = PLAIN.index(b"\n", len(PLAIN) // 2) + 1
    spoiled = PLAIN[:middle] + b"garbage\n" + nested + huge + wide + latin + PLAIN[middle:]
    log = read(written(tmp_path, spoiled))
    assert log.partial == "5 lines inside could not be read"
    same(log, read(written(tmp_path, PLAIN)))


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    packing=st.sampled_from(["plain", "zstd", "lz4"]),
    wounds=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=6)), max_size=5
    ),
    keep=st.floats(0, 1),
)
def test_spoiled_logs_are_read_in_part_or_refused(
    tmp_path: Path, packing: str, wounds: Sequence[tuple[float, bytes]], keep: float
) -> None:
    content = {
        "plain": PLAIN,
        "zstd": (LOGS / "spark-3.5.9.zstd").read_bytes(),
        "lz4": (LOGS / "spark-4.3.0.lz4").read_bytes(),
    }[packing]
    spoiled = bytearray(content[: int(len(content) * keep)])
    for place, wound in wounds:
        at = int(len(spoiled) * place)
        spoiled[at : at + len(wound)] = wound
    try:
        log = read(written(tmp_path, bytes(spoiled)))
    except TelemetryError:
        return
    assert len(log.tasks) <= 22
    assert log.events <= 70
    if packing != "lz4" and not wounds and len(spoiled) < len(content) - 1:
        assert log.partial


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    passed = json.dumps({"Event": "SparkListenerTaskStart", "text": "x" * 8000}).encode() + b"\n"
    path = written(tmp_path, PLAIN + passed * 8000)
    assert path.stat().st_size > 60e6
    tracemalloc.start()
    try:
        assert read(path).events == 8070
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12e6


def rdd(number: int, parents: list[int], name: str = "Map", kept: bool = False) -> dict[str, Any]:
    level = {"Use Disk": False, "Use Memory": kept}
    return {"RDD ID": number, "Name": name, "Parent IDs": parents, "Storage Level": level}


def stage(number: int, *rdds: dict[str, Any], end: bool = False) -> dict[str, Any]:
    info = {"Stage ID": number, "Submission Time": 1000, "RDD Info": rdds}
    if end:
        info["Completion Time"] = 2000
    return {"Event": f"SparkListenerStage{'Completed' if end else 'Submitted'}", "Stage Info": info}


def test_python_behind_a_cached_rdd_runs_once(tmp_path: Path) -> None:
    source = rdd(1, [], "PythonRDD")
    cached = rdd(2, [1], kept=True)
    first, again = (source, cached, rdd(3, [2])), (source, cached, rdd(4, [2]))
    text = lines(
        START,
        stage(0, *first),
        stage(0, *first, end=True),
        stage(1, *again),
        stage(1, *again, end=True),
        stage(2, *again, rdd(5, [4], "PythonRDD")),
        {"Event": "SparkListenerUnpersistRDD", "RDD ID": 2},
        stage(3, *again),
    )
    stages = read(written(tmp_path, text)).stages
    assert stages["python"].tolist() == [True, False, True, True]


def test_the_grown_log_of_the_benchmark_reads_whole(tmp_path: Path) -> None:
    path = tmp_path / "grown"
    count = grow(path, 1 << 20)
    log = read(path)
    assert (len(log.tasks), log.tasks["task"].nunique(), log.partial) == (count, count, "")
    assert path.stat().st_size > 1 << 20
