"""The host sampler: its readers, its file, its end, and that it never fails a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from bench.hosts.agent import sampler
from bench.hosts.sampling import COLUMNS, HostSampler, write_parquet
from bench.records.cluster import Owner
from bench.run_files import contention
from tests.hosts.providers import local_hosts

OWNER = Owner(study="study", session=f"session-{os.getpid()}", cluster="cluster")
MARK = OWNER.text  # tests beside these see the same machine


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostSampler]:
    """The sampler of a driver and a worker on this machine."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    with local_hosts(OWNER) as hosts:
        yield HostSampler(hosts)


def test_readers() -> None:
    tick = os.sysconf("SC_CLK_TCK")
    cpu = sampler.host_cpu(f"cpu  {tick} {tick} {tick} 0 {3 * tick} 0 {tick} {5 * tick} 9 9\n")
    assert cpu == {
        "cpu_user": 2.0,
        "cpu_system": 2.0,
        "cpu_iowait": 3.0,
        "cpu_steal": 5.0,
        "cpu_idle": 0.0,
    }
    disks = "8 0 sda 1 2 10 4 5 6 20 8 9 10 11\n8 1 sda1 1 2 10 4 5 6 20 8 9 10 11\n"
    assert sampler.disk_bytes(disks, {"sda"}) == {"disk_read": 5120.0, "disk_write": 10240.0}
    net = "Inter-| Receive\n face |bytes\n lo: 7 0 0 0 0 0 0 0 8 0 0 0 0 0 0 0\n"
    assert sampler.net_bytes(net) == {"net_rx": 7.0, "net_tx": 8.0}
    memory = "MemTotal: 10 kB\nMemFree: 1 kB\nMemAvailable: 4 kB\n"
    assert sampler.memory_used(memory) == {"memory_used": 6 * 1024}
    assert sampler.memory_used("") == sampler.host_cpu("") == {}


def test_rates_are_per_second_and_never_negative() -> None:
    now = {"cpu_user": 5.0, "net_rx": 1.0, "memory_used": 7.0, "new": 1.0}
    before = {"cpu_user": 1.0, "net_rx": 9.0, "memory_used": 1.0}
    assert sampler.rates(now, before, 2.0) == {
        "cpu_user": 2.0,
        "net_rx": 0.0,
        "memory_used": 7.0,
    }


def test_a_labelled_process_is_seen_by_its_scope(source: HostSampler, tmp_path: Path) -> None:
    source.start(1.0)
    busy = "import time; end = time.monotonic() + 3.5\nwhile time.monotonic() < end: pass"
    env = {"BENCHCAST_OWNER": MARK, "BENCHCAST_HOST": "1"}
    subprocess.run([sys.executable, "-c", busy], env=env, check=True)
    out = tmp_path / "out"
    out.mkdir()
    source.stop(out)
    table = pq.read_table(out / "samples.parquet")
    assert table.column_names == ["t", "wall_ns", "scope", *COLUMNS]
    rows = table.to_pylist()
    assert {row["scope"] for row in rows} == {"host", "driver", "worker-0"}
    assert all(row["cpu_user"] is None for row in rows if row["t"] == 0.0)  # nothing grew yet
    rows = [row for row in rows if row["t"] > 0.0]
    worker = [row for row in rows if row["scope"] == "worker-0"]
    assert max(row["cpu_user"] for row in worker) > 0.05
    assert max(row["memory_used"] for row in worker) > 1e6
    assert worker[0]["net_rx"] is None
    host = [row for row in rows if row["scope"] == "host"]
    assert all(row["running"] >= 1 and row["load"] >= 0 for row in host)
    total = sum(row["cpu_user"] + row["cpu_system"] - row["cpu_others"] for row in host)
    assert total >= 0.9 * sum(row["cpu_user"] for row in worker)  # ours is not another's
    assert all(row["cpu_user"] == 0.0 for row in rows if row["scope"] == "driver")
    assert float(table.schema.metadata[b"sampler_cpu_seconds"]) > 0


def table(source: HostSampler, folder: Path, busy: float, interval: float) -> dict[str, Any]:
    """Sample ``busy`` seconds of one core's work as the driver's; return the columns."""
    spin = f"import time; end = time.process_time() + {busy}\nwhile time.process_time() < end: pass"
    source.start(interval)
    env = {"BENCHCAST_OWNER": MARK, "BENCHCAST_HOST": "0"}
    subprocess.run([sys.executable, "-c", spin], env=env, check=True)
    source.stop(folder)
    return pq.read_table(folder / "samples.parquet").to_pydict()  # type: ignore[no-any-return]


@pytest.mark.parametrize(("interval", "busy"), [(0.2, 2.0), (5.0, 6.0)])
def test_the_rate_is_the_one_that_was_asked_for(
    source: HostSampler, tmp_path: Path, interval: float, busy: float
) -> None:
    found = table(source, tmp_path, busy, interval)
    times = [t for t, scope in zip(found["t"], found["scope"], strict=True) if scope == "host"]
    whole = [t // interval for t in times[1:-1]]  # between the first and the last: on the grid
    assert whole == sorted(set(whole))
    assert whole[0] >= 1.0
    assert len(whole) <= times[-1] / interval
    assert times[0] == 0.0
    assert times[-1] > busy  # the end, not the last multiple of the interval
    wanted = contention._totals(found)["driver"]
    assert wanted["seconds"] == times[-1]
    lost = min(interval, sampler.LOOK) + 0.1  # what an ended process used after the last look
    assert busy - lost <= wanted["cpu_user"] + wanted["cpu_system"] < busy + 0.6


def test_a_run_shorter_than_the_interval_has_a_first_and_a_last_sample(
    source: HostSampler, tmp_path: Path
) -> None:
    for _ in range(2):  # the second without any wait at all
        source.start(60.0)
        source.stop(tmp_path)
        rows = pq.read_table(tmp_path / "samples.parquet").to_pylist()
        host = [row for row in rows if row["scope"] == "host"]
        assert len(host) == 2
        assert [row["cpu_user"] is None for row in host] == [True, False]
        assert all(row["memory_used"] > 0 for row in host)
        assert 0.0 == host[0]["t"] < host[1]["t"] < 30.0


def test_a_late_sample_is_not_made_up_for() -> None:
    assert sampler.due(10.0, 10.0, 0.25) == 10.25
    assert sampler.due(10.0, 10.3, 0.25) == 10.5
    assert sampler.due(10.0, 17.6, 5.0) == 20.0


@pytest.mark.parametrize("interval", ["0.05", "60"])
@pytest.mark.parametrize("until", ["", "--until $$"])
def test_it_ends_with_its_parent_and_with_the_harness(
    tmp_path: Path, interval: str, until: str
) -> None:
    out = tmp_path / "out.jsonl"
    argv = [sys.executable, sampler.__file__, "--interval", interval, "--out", str(out)]
    parent = "exec " if not until else ""  # its parent is then the shell within, which stays
    script = f"({parent}{' '.join(argv)} --owner {MARK} {until}) & echo $!; sleep 0.7"
    done = subprocess.run(["sh", "-c", script], stdout=subprocess.PIPE, text=True, check=True)
    pid = int(done.stdout)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}/stat").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{pid}").exists()


def test_failures_are_a_missing_file(source: HostSampler, tmp_path: Path) -> None:
    source.start(1.0)
    source.stop(tmp_path / "not there")
    source.stop(tmp_path)
    assert not list(tmp_path.glob("*.parquet"))


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    line = {"t": 1.0, "wall_ns": 1, "self_cpu": 0.5, "rows": [{"scope": "host", "cpu_user": 1.0}]}
    raw.write_text(json.dumps(line) + "\n" + '{"t": 2.0, "wal')
    write_parquet(raw, tmp_path / "samples.parquet")
    assert pq.read_table(tmp_path / "samples.parquet").num_rows == 1
    raw.write_text("")
    with pytest.raises(ValueError, match="nothing was sampled"):
        write_parquet(raw, tmp_path / "none.parquet")
