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
    """Return facts as a record: the digest is over the known ones alone (no host name)."""
    fields = {field.name for field in msgspec.structs.fields(Machine)}
    known = {name: facts[name] for name in sorted(fields & facts.keys()) if facts[name] is not None}
    return msgspec.convert({**known, "record": "machine", "digest": digest(known)}, Machine)


def capacity() -> Capacity:
    """Return cores, memory in all and memory available now (bytes)."""
    memory = machine.meminfo()
    return Capacity(
        cores=len(os.sched_getaffinity(0)),
        memory=memory["MemTotal"],
        available=memory["MemAvailable"],
    )
