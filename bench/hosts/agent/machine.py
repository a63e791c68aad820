"""Facts of a machine, from its kernel and system files; standard library only."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

CPUS = Path("/sys/devices/system/cpu")


def facts() -> dict[str, Any]:
    """Return the fields of ``records.results.Machine`` without its digest; None if unknown."""
    return {
        "cpu_model": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": meminfo()["MemTotal"],
        "os": system(),
        "kernel": platform.release(),
        "accelerators": accelerators(),
        "governor": governor(),
        "threads_per_core": threads_per_core(),
        "virtualization": virtualization(),
    }


def text_of(path: Path | str) -> str:
    """Return a file's text, or nothing when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def cpu_model() -> str:
    """Return the first processor's name; ARM machines have it elsewhere or not at all."""
    for line in text_of("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "cpu model"):
            return " ".join(value.split())
    return platform.machine()


def meminfo() -> dict[str, int]:
    """Return /proc/meminfo in bytes."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return {fields[0].rstrip(":"): int(fields[1]) * 1024 for fields in lines}


def system() -> str:
    """Return the name of the operating system's release."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def accelerators() -> list[str]:
    """Return the models of NVIDIA GPUs that the kernel's driver knows."""
    root = "/proc/driver/nvidia/gpus"
    models = []
    for card in sorted(os.listdir(root)) if os.path.isdir(root) else []:
        for line in text_of(f"{root}/{card}/information").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "Model":
                models.append(value.strip())
    return models


def governor(cpus: Path = CPUS) -> str | None:
    """Return the cores' frequency governor, all of them if they differ; None if unknown."""
    files = sorted(cpus.glob("cpu[0-9]*/cpufreq/scaling_governor"))
    return ", ".join(sorted({text for file in files if (text := text_of(file).strip())})) or None


def threads_per_core(cpus: Path = CPUS) -> int | None:
    """Return how many hardware threads share the first core, from a list such as "0,64" or "0-1".

    None if the kernel does not report it.
    """
    count = 0
    for part in text_of(cpus / "cpu0/topology/thread_siblings_list").strip().split(","):
        first, _, last = part.partition("-")
        if not first.isdigit() or not (last or first).isdigit():
            return None
        count += int(last or first) - int(first) + 1
    return count


def virtualization(
    cpuinfo: Path = Path("/proc/cpuinfo"), hypervisor: Path = Path("/sys/hypervisor/type")
) -> str | None:
    """Return "none", the kernel's name such as "xen", else "hypervisor"; None if unknown.

    On x86 CPUID's hypervisor bit (leaf 1, ECX bit 31) is among the flags of /proc/cpuinfo; other
    processors do not report it.
    """
    if named := text_of(hypervisor).strip():
        return named
    lines = (line.partition(":") for line in text_of(cpuinfo).splitlines())
    flags = next((value.split() for name, _, value in lines if name.strip() == "flags"), None)
    if flags is None:
        return None
    return "hypervisor" if "hypervisor" in flags else "none"
