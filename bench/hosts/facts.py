"""Facts of this machine: processor, usable cores, memory, operating system, accelerators."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import msgspec

from bench.canonical import digest
from bench.hosts import Room, agent
from bench.model import Machine

FACTS = ("cpu_model", "cores", "memory", "os", "kernel", "accelerators")  # over which the digest is


@functools.cache
def machine() -> Machine:
    """Return this machine's facts; the digest is over the facts alone (no host name)."""
    told = agent.facts()
    known = {name: told[name] for name in FACTS}
    return msgspec.convert({**known, "record": "machine", "digest": digest(known)}, Machine)


def room() -> Room:
    """Return cores, memory in all and memory available now (bytes)."""
    memory = _meminfo()
    return Room(
        cores=len(os.sched_getaffinity(0)),
        memory=memory["MemTotal"],
        available=memory["MemAvailable"],
    )


def _meminfo() -> dict[str, int]:
    """Return /proc/meminfo in bytes."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return {fields[0].rstrip(":"): int(fields[1]) * 1024 for fields in lines}
