"""Sample a host's NVIDIA GPUs through NVML, as JSON lines: standard library and pynvml only.

It is one file, as the host sampler is:

    python gpu_sampler.py --interval 1 --out FILE

Each sample is one line, from the start to the end: ``t``, ``wall_ns`` and ``self_cpu`` as in the
host sampler, and ``rows``, one for each GPU with the scope "gpu0" and so on. Each metric is
optional: one that a GPU does not support or report, or that the user may not read, is absent. If
nothing can be read, the only line is ``{"fault": WHY}``. It ends on SIGTERM or when its parent
dies.

Functions, units and the bits of the reasons for lower clocks: NVIDIA, NVML API Reference Guide
(Device Queries; nvmlClocksEventReasons).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

LOOK = 1.0  # seconds, at most, between two checks that the parent lives
SM, MEMORY, CORE_SENSOR = 1, 2, 0  # NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU
REASONS = {  # why the clocks are reduced; idleness is not a reason
    0x02: "application clocks",
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x10: "sync boost",
    0x20: "thermal (software)",
    0x40: "thermal (hardware)",
    0x80: "power brake",
    0x100: "display clocks",
}
Metric = Callable[[Any, Any], float]
METRICS: dict[str, Metric] = {  # shares 0..1, bytes, W, J since the driver was loaded, Hz, deg C
    "utilization": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
    "memory_utilization": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).memory / 100,
    "memory_used": lambda nvml, gpu: float(nvml.nvmlDeviceGetMemoryInfo(gpu).used),
    "power": lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
    "energy": lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000,
    "clock_sm": lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, SM) * 1e6,
    "clock_memory": lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, MEMORY) * 1e6,
    "temperature": lambda nvml, gpu: float(nvml.nvmlDeviceGetTemperature(gpu, CORE_SENSOR)),
}


def devices(nvml: Any) -> dict[str, Any]:
    """Return the GPUs that can be opened, by scope; NVMLError if none can be listed."""
    gpus = {}
    for index in range(nvml.nvmlDeviceGetCount()):
        with contextlib.suppress(nvml.NVMLError):  # no permission for this one, or it is lost
            gpus[f"gpu{index}"] = nvml.nvmlDeviceGetHandleByIndex(index)
    return gpus


def metrics(nvml: Any, gpu: Any) -> dict[str, float]:
    """Return the metrics of one GPU; one that it does not report is absent."""
    values = {}
    for name, metric in METRICS.items():
        with contextlib.suppress(nvml.NVMLError, AttributeError):  # or an older pynvml
            values[name] = metric(nvml, gpu)
    return values


def throttle(nvml: Any, gpu: Any) -> str | None:
    """Return the reasons for reduced clocks; empty if there are none, None if unknown."""
    for name in ("EventReasons", "ThrottleReasons"):  # the later and the earlier name
        with contextlib.suppress(nvml.NVMLError, AttributeError):
            bits = int(getattr(nvml, f"nvmlDeviceGetCurrentClocks{name}")(gpu))
            return ", ".join(word for bit, word in REASONS.items() if bits & bit)
    return None


def rows(nvml: Any, gpus: dict[str, Any], first: dict[str, float]) -> list[dict[str, object]]:
    """Return a row for each GPU; energy counts from the first sample (``first``, by scope)."""
    sampled = []
    for scope, gpu in gpus.items():
        row: dict[str, object] = {**metrics(nvml, gpu)}
        if isinstance(energy := row.get("energy"), float):
            row["energy"] = max(0.0, energy - first.setdefault(scope, energy))
        if (reasons := throttle(nvml, gpu)) is not None:
            row["throttle"] = reasons
        sampled.append({"scope": scope, **row})
    return sampled


@contextlib.contextmanager
def library(nvml: Any) -> Iterator[dict[str, Any]]:
    """Load NVML, yield its GPUs, and unload it; raises NVMLError, or OSError without a library."""
    nvml.nvmlInit()
    try:
        yield devices(nvml)
    finally:
        with contextlib.suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def alone(parent: int, harness: int | None) -> bool:
    """Return whether the parent or, if it is another process, the harness has died."""
    return os.getppid() != parent or (
        harness is not None and not os.path.exists(f"/proc/{harness}")
    )


def pause(ended: threading.Event, until: float, over: Callable[[], bool]) -> bool:
    """Wait until a time (monotonic); return whether sampling is over."""
    while (left := until - time.monotonic()) > 0:
        if ended.wait(min(LOOK, left)) or over():
            return True
    return ended.is_set() or over()


def follow(
    nvml: Any,
    interval: float,
    ended: threading.Event,
    write: Callable[[str], object],
    harness: int | None = None,
) -> None:
    """Write one line now, one every ``interval`` seconds, and one at the end.

    The end is ``ended`` or the parent's death. It does not make up for a late sample. Raises as
    ``library`` does.
    """
    parent, start, first = os.getppid(), time.monotonic(), dict[str, float]()
    with library(nvml) as gpus:
        if not gpus:
            raise OSError("there is no GPU that this user may open")
        over = last = False
        while not last:
            last, t = over, time.monotonic() - start
            line = {"t": round(t, 4), "wall_ns": time.time_ns()}
            sampled = rows(nvml, gpus, first)
            write(json.dumps({**line, "self_cpu": time.process_time(), "rows": sampled}) + "\n")
            until = start + (t // interval + 1) * interval
            over = last or pause(ended, until, lambda: alone(parent, harness))


def main(arguments: list[str]) -> int:
    """Sample until SIGTERM or the parent's death; write a fault to the file if that fails."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--out", required=True)
    parser.add_argument("--until", type=int)
    options = parser.parse_args(arguments)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError), open(options.out, "w", 1, "ascii") as out:
        fault = attempt(options.interval, ended, out.write, options.until)
        if fault:
            out.write(json.dumps({"fault": fault}) + "\n")
    return 0


def attempt(
    interval: float,
    ended: threading.Event,
    write: Callable[[str], object],
    harness: int | None = None,
) -> str:
    """Follow the GPUs; return why that failed, or an empty string."""
    try:
        import pynvml
    except ImportError:
        return "pynvml is not installed; install it: pip install 'benchcast[gpu]'"
    try:
        follow(pynvml, interval, ended, write, harness)
    except (pynvml.NVMLError, OSError) as error:
        return f"NVML: {error}"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
