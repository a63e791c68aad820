"""Cloned machines of the lab's vCenter that can be logged in to: each is a namespace host.

``with clone_hosts() as hooks`` gives the two hook commands of ``vcenter``.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.locks import file_lock
from tests.labs import lab_cleanup
from tests.labs.hosts import add, connect
from tests.labs.lab_cleanup import LabTag

HOSTKEYS = "guestinfo.benchcast.hostkeys"
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class CloneHosts:
    """What the test needs: the hooks, and how to log in (as root, port 22)."""

    power_on: str
    power_off: str
    key: Path
    known_hosts: Path


@contextlib.contextmanager
def clone_hosts() -> Iterator[CloneHosts]:
    """Hold a lab in which hooks make hosts; afterwards none of them is left."""
    tag = LabTag.new()
    try:
        connect(tag)
        place = shlex.quote(str(REPOSITORY))
        call = (
            f"cd {place} && TMPDIR={shlex.quote(str(lab_cleanup.ROOT.parent))} PYTHONPATH={place} "
            f"{shlex.quote(sys.executable)} -m tests.labs.clone_hosts"
        )
        yield CloneHosts(
            power_on=f"{call} up {tag.name}",
            power_off=f"{call} down {tag.name}",
            key=tag.folder / "key",
            known_hosts=tag.folder / "known_hosts",
        )
    finally:
        tag.remove()


def main(argv: Sequence[str]) -> int:
    """``up LAB MACHINE`` prints the new host's address and its key; ``down LAB MACHINE`` removes
    it, if any."""
    verb, lab, machine = argv
    tag = LabTag.of(lab)
    ticket = tag.folder / f"guest-{machine}"
    if verb == "down":
        if ticket.exists():
            lab_cleanup.remove_host(f"{lab}h{ticket.read_text()}")
            ticket.unlink()
        return 0
    with file_lock(tag.folder / "numbers.lock"):
        counter = tag.folder / "numbers"
        number = int(counter.read_text()) + 1 if counter.exists() else 1
        counter.write_text(str(number))
    ticket.write_text(str(number))
    host = add(tag, number)
    kind, key, *_ = (host.folder / "host_key.pub").read_text().split()
    print(host.address)
    print(f"{HOSTKEYS}={kind} {key}")  # as a template's first boot would write it
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
