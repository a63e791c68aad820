"""The sampler where it may read little or nothing: figures are absent, and it goes on."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.hosts.agent import sampler
from bench.hosts.sampling import COLUMNS, write_parquet

MARK = "study/session/cluster"
Reader = Callable[[str], str]


def lines(marked: sampler.Labelled, samples: int) -> list[dict[str, object]]:
    """Return what ``follow`` writes with a number of samples and a last one."""
    found: list[str] = []
    ended = threading.Event()

    def write(text: str) -> None:
        found.append(text)
        if len(found) == samples:
            ended.set()

    sampler.follow(marked, 0.01, ended, write)
    return [json.loads(text) for text in found]


def test_nothing_readable_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no")

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(os, "listdir", refuse)
    found = lines(sampler.Labelled(MARK, {"0": "driver"}), 3)
    monkeypatch.undo()
    assert [line["rows"] for line in found] == [[{"scope": "host"}, {"scope": "driver"}]] * 4
    raw = tmp_path / "raw"
    raw.write_text("".join(json.dumps(line) + "\n" for line in found))
    write_parquet(raw, tmp_path / "samples.parquet")


def without(*hidden: str) -> Reader:
    """Return a reader for which some paths cannot be read."""
    read = sampler.read

    def reader(path: str) -> str:
        return "" if any(word in path for word in hidden) else read(path)

    return reader


@pytest.mark.parametrize(
    ("hidden", "absent", "there"),
    [
        ("/proc/stat", {"cpu_user", "cpu_steal", "cpu_others", "running"}, {"net_rx", "load"}),
        ("/proc/loadavg", {"load"}, {"running", "cpu_user"}),
        ("/proc/meminfo", {"memory_used"}, {"cpu_user", "cpu_others"}),
        ("cpufreq", {"clock", "clock_low"}, {"cpu_user"}),
    ],
)
def test_one_unreadable_file_leaves_the_others(
    hidden: str, absent: set[str], there: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "read", without(hidden))
    rows = lines(sampler.Labelled(MARK, {}), 2)[-1]["rows"]
    assert isinstance(rows, list)
    assert absent.isdisjoint(rows[0])
    assert there <= set(rows[0])
    assert set(rows[0]) - {"scope", "cpu_idle"} <= set(COLUMNS)


def test_others_processes_may_be_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "read", without("/environ"))
    marked = sampler.Labelled(MARK, {"0": "driver"}, harness=(os.getpid(),))
    marked.look(rescan=True)
    totals = marked.sample()
    assert totals["driver"] == {"memory_used": 0.0, "cpu_user": 0.0, "cpu_system": 0.0}
    assert totals[""]["cpu_user"] > 0  # this very process, known by its number


def test_a_process_that_vanishes_keeps_its_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = ["S", *["0"] * 21]
    fields[11], fields[12], fields[21] = str(sampler._TICK * 2), str(sampler._TICK), "3"
    files = {
        "/proc/7/environ": f"BENCHCAST_OWNER={MARK}\0BENCHCAST_HOST=0\0",
        "/proc/7/stat": f"7 (a (odd) name) {' '.join(fields)}",
        "/proc/7/cgroup": "0::/gone\n",
    }
    monkeypatch.setattr(sampler, "read", lambda path: files.get(path, ""))
    pids = ["7", "8", "uptime"]
    monkeypatch.setattr(sampler, "names", lambda folder: pids if folder == "/proc" else [])
    marked = sampler.Labelled(MARK, {"0": "driver"})
    marked.look(rescan=True)
    alive = marked.sample()["driver"]
    assert (alive["cpu_user"], alive["cpu_system"]) == (2.0, 1.0)
    assert alive["memory_used"] == 3 * os.sysconf("SC_PAGE_SIZE")
    files.clear()  # gone between the listing and the reading
    torn = marked.sample()["driver"]
    pids.remove("7")
    marked.look(rescan=False)
    gone = marked.sample()["driver"]
    assert torn == gone == {"memory_used": 0.0, "cpu_user": 2.0, "cpu_system": 1.0}


@pytest.mark.parametrize(
    "text", ["", "cpu\n", "cpu  1 2 3\n", "cpu  a b c d e f g h\n", "intr 1 2 3 4 5 6 7 8 9\n"]
)
def test_an_odd_stat_is_no_figure(text: str) -> None:
    assert sampler.host_cpu(text) == {}
    assert sampler.running(text, text) == {}


def test_clocks_are_in_hertz_and_not_of_every_core(tmp_path: Path) -> None:
    assert sampler.clocks(sampler.clock_files(str(tmp_path))) == {}
    for core in range(40):
        folder = tmp_path / f"cpu{core}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_cur_freq").write_text(f"{2_000_000 + core}\n")
    files = sampler.clock_files(str(tmp_path))
    assert 1 < len(files) <= sampler.MOST_CLOCKS
    Path(files[0]).write_text("1000000\n")
    Path(files[1]).unlink()
    found = sampler.clocks(files)
    assert found["clock_low"] == 1e9
    assert 1e9 < found["clock"] < 2.1e9


def test_co_tenants_are_what_is_not_ours() -> None:
    host = {"cpu_user": 1.5, "cpu_system": 0.5}
    mine = {"cpu_user": 0.5, "cpu_system": 0.25}
    assert sampler.others(host, {"driver": mine, "": mine}) == {"cpu_others": 0.5}
    assert sampler.others({"cpu_user": 0.1, "cpu_system": 0.0}, {"": mine}) == {"cpu_others": 0.0}
    assert sampler.others({}, {"": mine}) == {}
