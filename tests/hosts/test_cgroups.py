"""Control groups on fake folder trees, and on this machine's own where they may be written."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from bench.errors import LaunchFailed
from bench.hosts.agent.cgroups import Cgroups

# Marked processes are looked for on the whole machine: these tests would see each other's.
pytestmark = pytest.mark.alone


def v1(root: Path, separate: bool = True) -> Cgroups:
    """A tree with the cpu and cpuacct controllers, and our own groups at the top."""
    for name in ("cpu", "cpuacct") if separate else ("cpu",):
        (root / name).mkdir(parents=True)
        (root / name / "cgroup.procs").touch()
    (root / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    (root / "cpu" / "cpu.stat").write_text("nr_periods 9\nnr_throttled 2\nthrottled_time 5000000\n")
    own = root / "own"
    own.write_text("3:cpuset:/\n2:cpuacct:/\n1:cpu:/\n0::/\n")
    return Cgroups(root, own, rmdir=shutil.rmtree)


def v2(root: Path, controllers: str = "cpu memory") -> tuple[Cgroups, Path]:
    """A tree in which user.slice hands the cpu controller on."""
    delegated = root / "user.slice"
    (delegated / "session.scope").mkdir(parents=True)
    (root / "cgroup.controllers").write_text("cpu memory\n")
    (delegated / "cgroup.subtree_control").write_text(f"{controllers}\n")
    (delegated / "cpu.stat").write_text("usage_usec 5\nnr_throttled 1\nthrottled_usec 250000\n")
    own = root / "own"
    own.write_text("0::/user.slice/session.scope\n")
    return Cgroups(root, own, rmdir=shutil.rmtree), delegated


def test_version_1_sets_quota_and_joins_both_controllers(tmp_path: Path) -> None:
    groups = v1(tmp_path)
    assert groups.version == 1
    assert groups.available() is None
    group = groups.create("benchcast.s.c.1", 0.5)
    made = tmp_path / "cpu" / "benchcast.s.c.1"
    assert (made / "cpu.cfs_quota_us").read_text() == "50000\n"
    assert (made / "cpu.cfs_period_us").read_text() == "100000\n"
    subprocess.run(group.enter(["true"]), check=True)
    inside = tmp_path / "cpuacct" / "benchcast.s.c.1" / "cgroup.procs"
    assert inside.read_text().strip().isdigit()
    (tmp_path / "cpuacct" / "benchcast.s.c.1" / "cpuacct.usage").write_text("1500000000\n")
    assert group.cpu_seconds() == 1.5
    (made / "cpu.stat").write_text("nr_periods 9\nnr_throttled 4\nthrottled_time 2000000000\n")
    assert group.throttled() == (4, 2.0)
    assert list(groups.everywhere()) == ["benchcast.s.c.1"]
    assert groups.throttled_by_enclosing() == 0.005
    groups.remove(group)
    assert groups.everywhere() == {}


def test_a_lifted_limit_and_the_least_quota(tmp_path: Path) -> None:
    groups = v1(tmp_path)
    group = groups.create("benchcast.s.c.1", 0.001)
    quota = tmp_path / "cpu" / "benchcast.s.c.1" / "cpu.cfs_quota_us"
    assert quota.read_text() == "1000\n"
    group.limit(None)
    assert quota.read_text() == "-1\n"


def test_version_2_finds_the_delegated_ancestor(tmp_path: Path) -> None:
    groups, delegated = v2(tmp_path)
    assert groups.version == 2
    assert groups.available() is None
    group = groups.create("benchcast.s.c.0", 1.5)
    made = delegated / "benchcast.s.c.0"
    assert (made / "cpu.max").read_text() == "150000 100000\n"
    (made / "cpu.stat").write_text("usage_usec 2500000\nnr_throttled 3\nthrottled_usec 100000\n")
    assert group.cpu_seconds() == 2.5
    assert group.throttled() == (3, 0.1)
    assert groups.throttled_by_enclosing() == 0.25
    group.limit(None)
    assert (made / "cpu.max").read_text() == "max 100000\n"


def test_groups_of_other_logins_are_found_too(tmp_path: Path) -> None:
    groups = v1(tmp_path)
    groups.create("benchcast.s.c.1", None)
    for name in ("cpu", "cpuacct"):
        (tmp_path / name / "session-2" / "benchcast.s.c.2").mkdir(parents=True)
    (tmp_path / "cpu" / "others").mkdir()
    found = groups.everywhere()
    assert list(found) == ["benchcast.s.c.1", "benchcast.s.c.2"]
    assert [len(group.folders) for group in found.values()] == [2, 2]


def test_reasons_why_it_cannot(tmp_path: Path) -> None:
    groups, _ = v2(tmp_path / "two", controllers="memory")
    assert "delegates the cpu controller" in (groups.available() or "")
    (tmp_path / "none").mkdir()
    none = Cgroups(tmp_path / "none", tmp_path / "none" / "own")
    assert "not mounted" in (none.available() or "")


def test_a_group_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    groups = v1(tmp_path)
    (tmp_path / "cpu" / "benchcast.s.c.1").write_text("in the way")
    with pytest.raises(LaunchFailed, match=r"benchcast\.s\.c\.1 cannot be made"):
        groups.create("benchcast.s.c.1", 0.5)


def test_a_command_that_cannot_join_does_not_run(tmp_path: Path) -> None:
    group = v1(tmp_path).create("benchcast.s.c.1", 0.5)
    shutil.rmtree(tmp_path / "cpu" / "benchcast.s.c.1")
    done = subprocess.run(group.enter(["echo", "ran"]), capture_output=True, text=True)
    assert done.returncode == 125
    assert "ran" not in done.stdout
    assert "cannot enter the control group" in done.stderr


def test_this_machine_holds_a_quota() -> None:
    groups = Cgroups()
    if (reason := groups.available()) is not None:
        pytest.skip(f"no CPU limits here: {reason}")
    group = groups.create("benchcast.test.cgroups.0", 0.2)
    try:
        busy = "import time; end = time.monotonic() + 1\nwhile time.monotonic() < end: pass"
        subprocess.run(group.enter(["python3", "-c", busy]), check=True)
        used = group.cpu_seconds()
        assert used is not None
        assert 0.0 < used < 0.6
        assert (group.throttled() or (0, 0.0))[0] > 0
    finally:
        started = time.monotonic()
        groups.remove(group)
    assert time.monotonic() - started < 5
    assert "benchcast.test.cgroups.0" not in groups.everywhere()
