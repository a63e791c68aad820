"""The GPU sampler on a double of NVML: each metric is optional, and nothing fails a run.

``FakeNvml`` stands for the library (pynvml's names, units and error classes); there is no GPU here.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from bench.hosts.agent import gpu_sampler, main
from bench.hosts.host import Host
from bench.hosts.sampling import GPU_COLUMNS, GpuSampler, samplers, write_parquet
from bench.records.cluster import Owner
from tests.hosts.providers import local_hosts


class NVMLError(Exception):
    """As pynvml's: the base of all."""


class NotSupported(NVMLError):
    """This GPU does not have it."""


class FakeNvml:
    """Two GPUs; ``broken`` names functions that raise, ``lacking`` those that do not exist."""

    NVMLError = NVMLError

    def __init__(self, *, broken: set[str] | None = None, lacking: set[str] | None = None) -> None:
        self.broken = broken or set()
        self.lacking = lacking or set()
        self.reasons = 0x04 | 0x40
        self.energy = 5_000_000  # mJ
        self.open = False

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvml"):
            if name in self.lacking:
                raise AttributeError(name)
            if name in self.broken:
                raise NotSupported(name)
        return super().__getattribute__(name)

    def nvmlInit(self) -> None:
        self.open = True

    def nvmlShutdown(self) -> None:
        self.open = False

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetUtilizationRates(self, _: int) -> SimpleNamespace:
        return SimpleNamespace(gpu=75, memory=20)

    def nvmlDeviceGetMemoryInfo(self, _: int) -> SimpleNamespace:
        return SimpleNamespace(used=3 << 30, total=80 << 30)

    def nvmlDeviceGetPowerUsage(self, _: int) -> int:
        return 250_500

    def nvmlDeviceGetTotalEnergyConsumption(self, _: int) -> int:
        self.energy += 1_000
        return self.energy

    def nvmlDeviceGetClockInfo(self, _: int, kind: int) -> int:
        return {1: 1410, 2: 1593}[kind]

    def nvmlDeviceGetTemperature(self, _: int, sensor: int) -> int:
        return {0: 61}[sensor]

    def nvmlDeviceGetCurrentClocksEventReasons(self, _: int) -> int:
        return self.reasons

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, _: int) -> int:
        return self.reasons


WHOLE = {
    "utilization": 0.75,
    "memory_utilization": 0.2,
    "memory_used": 3 * 2.0**30,
    "power": 250.5,
    "energy": 5001.0,
    "clock_sm": 1.41e9,
    "clock_memory": 1.593e9,
    "temperature": 61.0,
}
PARTS = {
    "nvmlDeviceGetUtilizationRates": {"utilization", "memory_utilization"},
    "nvmlDeviceGetMemoryInfo": {"memory_used"},
    "nvmlDeviceGetPowerUsage": {"power"},
    "nvmlDeviceGetTotalEnergyConsumption": {"energy"},
    "nvmlDeviceGetClockInfo": {"clock_sm", "clock_memory"},
    "nvmlDeviceGetTemperature": {"temperature"},
}


def test_all_metrics_in_our_units() -> None:
    assert gpu_sampler.metrics(FakeNvml(), 0) == pytest.approx(WHOLE)
    assert set(WHOLE) == set(GPU_COLUMNS)


@pytest.mark.parametrize("how", ["broken", "lacking"])
@pytest.mark.parametrize("function", PARTS)
def test_a_metric_that_is_not_there_leaves_the_others(function: str, how: str) -> None:
    nvml = FakeNvml(**{how: {function}})
    assert set(gpu_sampler.metrics(nvml, 0)) == set(WHOLE) - PARTS[function]
    assert gpu_sampler.throttle(nvml, 0) == "power cap, thermal (hardware)"


def test_reasons_for_low_clocks() -> None:
    nvml = FakeNvml()
    nvml.reasons = 0x01
    assert gpu_sampler.throttle(nvml, 0) == ""  # idle is not held down
    nvml.reasons = 0x80
    nvml.lacking = {"nvmlDeviceGetCurrentClocksEventReasons"}
    assert gpu_sampler.throttle(nvml, 0) == "power brake"
    nvml.broken = {"nvmlDeviceGetCurrentClocksThrottleReasons"}
    assert gpu_sampler.throttle(nvml, 0) is None


def test_a_gpu_that_may_not_be_opened_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml()

    def handle(index: int) -> int:
        if index == 0:
            raise NVMLError("no permission")
        return index

    monkeypatch.setattr(nvml, "nvmlDeviceGetHandleByIndex", handle)
    assert gpu_sampler.devices(nvml) == {"gpu1": 1}


def sampled(nvml: FakeNvml, samples: int) -> list[str]:
    """Return the lines of so many samples."""
    ended, found = threading.Event(), list[str]()

    def write(text: str) -> None:
        found.append(text)
        if len(found) == samples:
            ended.set()

    gpu_sampler.follow(nvml, 0.01, ended, write)
    assert not nvml.open
    return found


def test_energy_counts_from_the_first_sample_and_rows_become_a_table(tmp_path: Path) -> None:
    nvml = FakeNvml(broken={"nvmlDeviceGetPowerUsage"})
    (tmp_path / "raw").write_text("".join(sampled(nvml, 3)))
    write_parquet(tmp_path / "raw", tmp_path / "gpu.parquet", GPU_COLUMNS, ("throttle",))
    table = pq.read_table(tmp_path / "gpu.parquet")
    assert table.column_names == ["t", "wall_ns", "scope", *GPU_COLUMNS, "throttle"]
    rows = table.to_pylist()
    assert [row["scope"] for row in rows] == ["gpu0", "gpu1"] * 4  # and one of the end
    assert [row["energy"] for row in rows if row["scope"] == "gpu0"] == [0.0, 2.0, 4.0, 6.0]
    assert {row["power"] for row in rows} == {None}
    assert {row["throttle"] for row in rows} == {"power cap, thermal (hardware)"}


def test_a_run_shorter_than_the_interval_has_a_first_and_a_last_sample() -> None:
    ended, found = threading.Event(), list[str]()
    threading.Timer(0.3, ended.set).start()
    gpu_sampler.follow(FakeNvml(), 60.0, ended, found.append)
    first, last = (json.loads(line) for line in found)
    assert first["t"] < 0.2 < last["t"] < 30.0
    assert last["rows"][0]["energy"] == 2.0


def test_a_lost_device_has_rows_without_figures() -> None:
    everything = {name for name in dir(FakeNvml) if name.startswith("nvmlDeviceGet")}
    listing = {"nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex"}
    lines = sampled(FakeNvml(broken=everything - listing), 2)
    assert json.loads(lines[-1])["rows"] == [{"scope": "gpu0"}, {"scope": "gpu1"}]


def test_no_driver_is_said_and_nothing_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(broken={"nvmlInit"}))
    assert gpu_sampler.attempt(0.01, threading.Event(), print) == "NVML: nvmlInit"
    nvml = FakeNvml(broken={"nvmlDeviceGetHandleByIndex"})
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert "no GPU that this user may open" in gpu_sampler.attempt(0.01, threading.Event(), print)
    assert not nvml.open
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "benchcast[gpu]" in gpu_sampler.attempt(0.01, threading.Event(), print)


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Host]]:
    """A driver and a worker on this machine."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with local_hosts(Owner(study="gpus", session=f"s-{os.getpid()}", cluster="c1")) as made:
        yield made


def test_without_a_gpu_each_run_goes_on_and_reports_why(
    hosts: list[Host], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    present = hosts[0].channel.greeting["gpu_driver"]
    assert present == any(Path(file).exists() for file in main.GPU_FILES)
    assert [source.name for source in samplers(hosts)] == ["samples", *["gpu"] * present]
    if present:
        pytest.skip("this machine has a GPU; its figures are not checked here")
    hosts[0].channel.greeting = {**hosts[0].channel.greeting, "gpu_driver": True}
    _, source = samplers(hosts)
    assert isinstance(source, GpuSampler)
    out = tmp_path / "run"
    out.mkdir()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            source.start(0.05)
            source.stop(out)
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 2  # the runner tells the user once, and notes it in both runs
    reasons = ("no gpu of a run: NVML: ", "no gpu of a run: pynvml ")
    assert all(text.startswith(reasons) for text in texts)
    assert not list(out.iterdir())
