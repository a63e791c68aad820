"""The lab's hosts: reachable, limited, faulty on demand, and gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import absent
from tests.labs import lab_cleanup
from tests.labs.hosts import lab, missing

pytestmark = [pytest.mark.lab, pytest.mark.alone]
SPIN = "timeout 1 sh -c 'while :; do :; done'"


@pytest.fixture(autouse=True)
def _possible() -> None:
    reason = missing()
    if reason:
        absent(f"the lab's hosts ({reason})", "make lab")


def _traces(name: str) -> dict[str, list[str]]:
    """Everything that carries a lab's name: namespaces, links, groups, processes, mounts."""
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    ours = Path(f"/proc/{os.getpid()}")
    commands = {
        folder: (folder / "cmdline").read_bytes().decode(errors="replace")
        for folder in Path("/proc").glob("[0-9]*")
        if folder != ours and (folder / "cmdline").exists()
    }
    spaces = Path("/run/netns")
    groups = Path("/sys/fs/cgroup")
    found = {
        "namespaces": [p.name for p in spaces.glob("*")] if spaces.is_dir() else [],
        "links": links.splitlines(),
        "groups": [str(p) for depth in ("*", "*/*") for p in groups.glob(depth)],
        "processes": list(commands.values()),
        "mounts": Path("/proc/mounts").read_text().splitlines(),
        "files": os.listdir(lab_cleanup.ROOT),
    }
    return {kind: [x for x in all_ if name in x] for kind, all_ in found.items()}


def test_hosts_are_reached_under_names_of_their_own_and_leave_nothing() -> None:
    with lab(2, disk_mb=8) as hosts:
        name = hosts[0].name[:8]
        answers = [host.ssh("uname -n; echo $TMPDIR") for host in hosts]
        assert [a.returncode for a in answers] == [0, 0], answers
        assert [a.stdout.split()[0] for a in answers] == [host.name for host in hosts]
        assert [a.stdout.split()[1] for a in answers] == [str(host.work) for host in hosts]
        reached = hosts[0].ssh(f"timeout 5 bash -c 'head -c 4 < /dev/tcp/{hosts[1].address}/22'")
        assert reached.stdout == "SSH-"
        hosts[1].ssh("sleep 600 > /dev/null 2>&1 &")
        assert all(_traces(name).values())
    assert not any(_traces(name).values())


def test_the_cpu_limit_holds_back_the_limited_host_only() -> None:
    with lab(2, cores=[0.2, None], memory_mb=256) as hosts:
        for host in hosts:
            host.ssh(SPIN)
        assert hosts[0].throttled() >= 5  # of the ten periods of one second
        assert hosts[1].throttled() == 0


def test_the_memory_limit_kills() -> None:
    with lab(1, memory_mb=64) as hosts:
        eats = hosts[0].ssh(f"{sys.executable} -c 'print(len(bytearray(1) * (1 << 28)))'; exit $?")
        assert eats.returncode == 137


def test_each_fault_shows_as_itself() -> None:
    with lab(2, disk_mb=4) as hosts:
        one, two = hosts
        one.fill()
        full = one.ssh(f"echo more > {one.work}/more")
        assert full.returncode == 1
        assert "No space left" in full.stderr
        one.hang()
        assert "timed out" in one.ssh("true").stderr
        one.resume()
        assert one.ssh("true").returncode == 0
        one.refuse()
        assert "Permission denied" in one.ssh("true").stderr
        two.kill()
        assert lab_cleanup.members(two.groups) == []
        dead = two.ssh("true")
        assert dead.returncode == 255
        assert "timed out" in dead.stderr or "No route to host" in dead.stderr


CRASHED = """
import sys, time
from tests.labs.hosts import lab
with lab(1, disk_mb=4) as hosts:
    print(hosts[0].name[:8], flush=True)
    sys.stdin.read()
"""


def test_a_crashed_lab_is_swept_and_a_living_one_is_not() -> None:
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", CRASHED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=root,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with lab(1) as alive, process.stdin, process.stdout:
        name = process.stdout.readline().strip()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert _traces(name)["namespaces"]
        assert name in lab_cleanup.sweep()
        assert not any(_traces(name).values())
        assert alive[0].ssh("true").returncode == 0
