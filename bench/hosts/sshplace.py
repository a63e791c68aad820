"""A user's own place on a machine that is reached by SSH: marked folders, and a cache.

Below its folder, ``work/<mark>/<index>/`` belongs to a running cluster; ``cache/`` holds what is
named by its digest and is nobody's.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from bench.errors import LaunchFailed
from bench.hosts import facts
from bench.hosts.link import Link
from bench.hosts.ssh import SshHost, write
from bench.records.cluster import Owner
from bench.records.results import Machine

FOLDER = ".cache/benchcast"
LEAST_FREE = 256 << 20  # bytes that a host's disk must have left
AT_ONCE = 16

Answer = Machine | LaunchFailed


def root(link: Link, folder: str) -> Path:
    """Return the place on a machine that has answered."""
    return Path(str(link.told["home"])) / folder


def cache(link: Link, folder: str) -> Path:
    """Return the folder of what is named by its digest."""
    return root(link, folder) / "cache"


def ask(links: Sequence[Link], at_once: int = AT_ONCE) -> list[Answer]:
    """Connect to machines, ``at_once`` of them in parallel; return facts, or why not."""
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        return list(pool.map(_asked, links))


def prepare(links: Sequence[Link], folder: str, at_once: int = AT_ONCE) -> list[Answer]:
    """Connect and make the work folder, where the disk has room for it; what fails is returned."""

    def one(link: Link) -> Answer:
        answer = _asked(link)
        try:
            if isinstance(answer, Machine):
                link.call("folder", path=str(root(link, folder) / "work"), free=LEAST_FREE)
        except LaunchFailed as error:
            return error
        except OSError as error:
            what = f"host {link.address.name}: its folder {folder} cannot be used"
            remedy = "free space there, or say another folder"
            return LaunchFailed(f"{what}: {error.strerror}", remedy=remedy)
        return answer

    with ThreadPoolExecutor(max_workers=at_once) as pool:
        return list(pool.map(one, links))


def occupy(link: Link, folder: str, owner: Owner, index: int, internal: str | None) -> SshHost:
    """Make a marked folder: the owner's facts are written before anything else."""
    place = root(link, folder)
    marked = place / "work" / owner.mark
    write(link, msgspec.json.encode(owner), str(marked / "owner.json"))
    link.call("folder", path=str(marked / str(index) / "tmp"))
    return SshHost(link, place, internal or link.peer, owner, index)


def _asked(link: Link) -> Answer:
    try:
        link.connect()
    except LaunchFailed as error:
        return error
    return facts.as_machine(link.told)
