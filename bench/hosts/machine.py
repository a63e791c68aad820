"""Facts of this machine: processor, usable cores, memory, operating system, accelerators."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping

import msgspec

from bench.contracts import Capacity
from bench.digests import digest
from bench.hosts.agent import machine
from bench.records.results import Machine


@functools.cache
def this_machine() -> Machine:
    """Return this machine's facts."""
    return as_machine(machine.facts())


def as_machine(facts: Mapping[str, object]) -> Machine:
    """Return facts as a record; the digest covers the known facts and no host name."""
    fields = {field.name for field in msgspec.structs.fields(Machine)}
    names = sorted(name for name in fields & facts.keys() if facts[name] is not None)
    present = {name: facts[name] for name in names}
    return msgspec.convert({**present, "record": "machine", "digest": digest(present)}, Machine)


def capacity() -> Capacity:
    """Return the usable cores, the total memory and the memory available now (bytes)."""
    memory = machine.meminfo()
    return Capacity(
        cores=len(os.sched_getaffinity(0)),
        memory=memory["MemTotal"],
        available=memory["MemAvailable"],
    )
