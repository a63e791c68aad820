"""The sampler on a machine that is reached by SSH: its rate, its first and its last sample."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.environments.ssh.provider import Entry, Inventory
from bench.records.cluster import Owner
from tests.hosts import sshd

pytest.importorskip("asyncssh", reason="pip install 'benchcast[ssh]'")
# Marked processes are looked for on the whole machine: these tests would see each other's.
pytestmark = pytest.mark.alone

OWNER = Owner(study="s", session="20260101T000000-sshsam", cluster="c1")
BURN = """
import sys, time
while time.process_time() < 0.3:
    pass
time.sleep(float(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inventory]:
    """An inventory of one host."""
    with sshd.running(tmp_path_factory.mktemp("sshd") / "server") as server:
        made = Inventory([Entry(address=server.address())])
        yield made
        made.close()


@pytest.mark.parametrize(("interval", "seconds"), [(0.2, 1.5), (60.0, 1.0)])
def test_the_rate_arrives_and_a_short_run_has_two_samples(
    inventory: Inventory, tmp_path: Path, interval: float, seconds: float
) -> None:
    hosts = inventory.acquire(1, OWNER)
    try:
        (source,) = inventory.sources(hosts)
        source.start(interval)
        argv = [sys.executable, "-c", BURN, str(seconds)]
        assert hosts[0].spawn("burn", argv, {}).wait(30) == 0
        source.stop(tmp_path)
    finally:
        inventory.release(hosts)
    rows = pq.read_table(tmp_path / "samples.parquet").to_pylist()
    host = [row for row in rows if row["scope"] == "host:driver"]
    assert (host[0]["t"], host[0]["cpu_user"]) == (0.0, None)
    assert host[-1]["t"] > seconds
    # The kernel counts in ticks of 10 ms: one short sample alone may well have none.
    assert host[-1]["cpu_user"] is not None
    assert sum(row["cpu_user"] for row in host[1:]) > 0.0
    whole = [row["t"] // interval for row in host[1:-1]]
    assert whole == sorted(set(whole))
    assert bool(whole) == (interval < seconds)
