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

CPUS = Path("/sys/devices/system/cpu")


@functools.cache
def machine() -> Machine:
    """Return this machine's facts; the digest is over the facts alone (no host name)."""
    found: dict[str, object] = {
        "cpu_model": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": _meminfo()["MemTotal"],
        "os": _system(),
        "kernel": platform.release(),
        "accelerators": _accelerators(),
        "governor": governor(),
        "threads_per_core": threads_per_core(),
        "virtualization": virtualization(),
    }
    known = {name: value for name, value in found.items() if value is not None}
    return msgspec.convert({**known, "record": "machine", "digest": digest(known)}, Machine)


def room() -> Room:
    """Return cores, memory in all and memory available now (bytes)."""
    memory = _meminfo()
    return Room(
        cores=len(os.sched_getaffinity(0)),
        memory=memory["MemTotal"],
        available=memory["MemAvailable"],
    )


def governor(cpus: Path = CPUS) -> str | None:
    """Return the frequency governor of the cores, all where they differ; None where unknown."""
    files = sorted(cpus.glob("cpu[0-9]*/cpufreq/scaling_governor"))
    return ", ".join(sorted({text for file in files if (text := _text(file))})) or None


def threads_per_core(cpus: Path = CPUS) -> int | None:
    """Return how many hardware threads share the first core (its list is such as "0,64" or "0-1").

    None where the kernel does not say.
    """
    count = 0
    for part in _text(cpus / "cpu0/topology/thread_siblings_list").split(","):
        first, _, last = part.partition("-")
        if not first.isdigit() or not (last or first).isdigit():
            return None
        count += int(last or first) - int(first) + 1
    return count


def virtualization(
    cpuinfo: Path = Path("/proc/cpuinfo"), hypervisor: Path = Path("/sys/hypervisor/type")
) -> str | None:
    """Return "none", "xen" or whatever the kernel calls it, else "hypervisor"; None if unknown.

    On x86 CPUID's hypervisor bit (leaf 1, ECX bit 31) is among the flags of /proc/cpuinfo; other
    processors do not say it.
    """
    if named := _text(hypervisor):
        return named
    lines = (line.partition(":") for line in _text(cpuinfo).splitlines())
    flags = next((value.split() for name, _, value in lines if name.strip() == "flags"), None)
    if flags is None:
        return None
    return "hypervisor" if "hypervisor" in flags else "none"


def _text(file: Path) -> str:
    """Return a file's text, or nothing when it cannot be read."""
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""


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
