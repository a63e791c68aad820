"""Facts of this machine: processor, usable cores, memory, operating system, accelerators."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path

import msgspec

from bench.canonical import digest
from bench.hosts import Room
from bench.model import Machine


@functools.cache
def machine() -> Machine:
    """Return this machine's facts; the digest is over the facts alone (no host name)."""
    known: dict[str, object] = {
        "cpu_model": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": _meminfo()["MemTotal"],
        "os": _system(),
        "kernel": platform.release(),
        "accelerators": _accelerators(),
    }
    return msgspec.convert({**known, "record": "machine", "digest": digest(known)}, Machine)


def room() -> Room:
    """Return cores, memory in all and memory available now (bytes)."""
    memory = _meminfo()
    return Room(
        cores=len(os.sched_getaffinity(0)),
        memory=memory["MemTotal"],
        available=memory["MemAvailable"],
    )


def _cpu_model() -> str:
    """Return the first processor's name; ARM machines say it elsewhere or not at all."""
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "cpu model"):
            return " ".join(value.split())
    return platform.machine()


def _meminfo() -> dict[str, int]:
    """Return /proc/meminfo in bytes."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return {fields[0].rstrip(":"): int(fields[1]) * 1024 for fields in lines}


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def _accelerators() -> tuple[str, ...]:
    """Return the models of NVIDIA GPUs that the kernel's driver knows."""
    models = []
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        lines = (line.partition(":") for line in file.read_text(errors="replace").splitlines())
        models += [value.strip() for name, _, value in lines if name.strip() == "Model"]
    return tuple(models)
