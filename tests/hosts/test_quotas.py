"""Control groups as the sampler reads them: both versions, and only what happened since."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.hosts.agent import sampler
from bench.hosts.agent.cgroups import Cgroups
from bench.hosts.sampling import HostSampler
from bench.ids import new_id
from bench.records.cluster import Owner
from tests.hosts.providers import local_hosts


def stat(folder: Path, text: str) -> str:
    """Write a group's cpu.stat."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.stat").write_text(text)
    return str(folder / "cpu.stat")


V1 = "nr_periods 9\nnr_throttled {}\nthrottled_time {}\n"
V2 = "usage_usec 5\nnr_periods 9\nnr_throttled {}\nthrottled_usec {}\n"


def test_a_group_of_version_1_and_all_around_it(tmp_path: Path) -> None:
    inner = stat(tmp_path / "cpu/pod/inner", V1.format(3, 2_000_000_000))
    outer = stat(tmp_path / "cpu/pod", V1.format(0, 0))
    top = stat(tmp_path / "cpu", V1.format(0, 0))
    (tmp_path / "cpu,cpuacct").symlink_to("cpu")
    text = "7:memory:/elsewhere\n2:cpu,cpuacct:/pod/inner\n0::/pod\n"
    assert sampler.group_stats(text, str(tmp_path)) == [inner, outer, top]
    assert sampler.throttling(inner) == (2.0, 3.0)


def test_a_group_of_version_2_and_the_container_s_own_mount(tmp_path: Path) -> None:
    inner = stat(tmp_path / "user.slice/job", V2.format(4, 1_500_000))
    stat(tmp_path, "usage_usec 5\n")  # the root has no quota
    assert sampler.group_stats("0::/user.slice/job\n", str(tmp_path)) == [inner]
    assert sampler.throttling(inner) == (1.5, 4.0)
    inside = stat(tmp_path / "container", V2.format(1, 10))
    assert sampler.group_stats("0::/../host/path\n", str(tmp_path / "container")) == [inside]


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "3:memory:/a\n", "0::/gone\n", "2:cpu:/gone\n", ":::\n"],
)
def test_no_group_is_no_figure(text: str, tmp_path: Path) -> None:
    assert sampler.group_stats(text, str(tmp_path)) == []
    assert sampler.throttling(str(tmp_path / "cpu.stat")) is None


@pytest.mark.parametrize(
    "text", ["", "nr_throttled x\n", "nr_throttled 4\n", "a b c\nnr_throttled"]
)
def test_an_odd_file_is_no_figure(text: str, tmp_path: Path) -> None:
    assert sampler.throttling(stat(tmp_path, text)) is None


def test_only_what_was_withheld_since_counts_and_a_gone_group_still_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stat(tmp_path / "g", V2.format(10, 7_000_000))
    monkeypatch.setattr(sampler, "group_stats", lambda _: [path])
    quotas = sampler.Quotas()
    assert quotas.sample() == {}
    quotas.add("0::/g\n")
    assert quotas.sample() == {"throttled": 0.0, "throttled_periods": 0.0}
    stat(tmp_path / "g", V2.format(12, 7_500_000))
    assert quotas.sample() == {"throttled": 0.5, "throttled_periods": 2.0}
    Path(path).unlink()
    assert quotas.sample() == {"throttled": 0.5, "throttled_periods": 2.0}


@pytest.mark.alone  # others look for marked processes and groups
def test_a_real_quota_is_seen(tmp_path: Path) -> None:
    groups = Cgroups()
    if (reason := groups.available()) is not None:
        pytest.skip(f"{reason}; run as a user who may write control groups")
    name = new_id()
    owner = Owner(study="quota", session=name, cluster="c1")
    group = groups.create(f"benchcast.{name}.1", 0.1)
    with local_hosts(owner) as hosts:
        source = HostSampler(hosts)
        source.start(0.2)
        busy = "import time\nwhile time.process_time() < 0.25: pass"
        env = {"BENCHCAST_OWNER": owner.text, "BENCHCAST_HOST": "1"}
        subprocess.run(group.enter([sys.executable, "-c", busy]), env=env, check=True)
        held = group.throttled()
        source.stop(tmp_path)
        groups.remove(group)
    rows = pq.read_table(tmp_path / "samples.parquet").to_pylist()
    assert held is not None
    worker = [row for row in rows if row["scope"] == "worker-0"]
    assert max(row["throttled"] or 0.0 for row in worker) > 0
    assert max(row["throttled_periods"] or 0.0 for row in worker) > 0
    assert all(not row["throttled"] for row in rows if row["scope"] == "driver")
