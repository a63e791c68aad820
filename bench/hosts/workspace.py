"""A user's folders on hosts: work and cache, with enough free space."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.errors import LaunchFailed
from bench.hosts.channel import AgentChannel
from bench.hosts.host import Workspace
from bench.hosts.machine import as_machine
from bench.records.results import Machine

FOLDER = ".cache/benchcast"  # below the home folder
LEAST_FREE = 256 << 20  # bytes that must be free on a host's disk
AT_ONCE = 16

Answer = Machine | LaunchFailed


def workspace(channel: AgentChannel, folder: str = FOLDER) -> Workspace:
    """Return the folders on a connected host."""
    root = Path(str(channel.greeting["home"])) / folder
    return Workspace(work=root / "work", cache=root / "cache")


def ask(channels: Sequence[AgentChannel], at_once: int = AT_ONCE) -> list[Answer]:
    """Connect to hosts, ``at_once`` in parallel; return each one's facts or error."""
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        return list(pool.map(_asked, channels))


def prepare(
    channels: Sequence[AgentChannel],
    folder: str,
    at_once: int = AT_ONCE,
    least_free: int = LEAST_FREE,
) -> list[Answer]:
    """Connect, check free space and make the work folder; return each one's facts or error."""

    def prepare_one(channel: AgentChannel) -> Answer:
        answer = _asked(channel)
        try:
            if isinstance(answer, Machine):
                work = workspace(channel, folder).work
                channel.call("folder", path=str(work), least=least_free)
        except LaunchFailed as error:
            return error
        except OSError as error:
            what = f"{channel.label}: its folder {folder} cannot be used: {error.strerror}"
            return LaunchFailed(what, remedy="free space there, or use another folder")
        return answer

    with ThreadPoolExecutor(max_workers=at_once) as pool:
        return list(pool.map(prepare_one, channels))


def _asked(channel: AgentChannel) -> Answer:
    try:
        channel.connect()
    except LaunchFailed as error:
        return error
    return as_machine(channel.greeting)
