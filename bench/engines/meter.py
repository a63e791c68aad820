"""What the worker hosts spent while a job ran."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contracts import Host
from bench.ids import utc_now
from bench.records.results import RunEvent


class Meter:
    """What the worker hosts spent from now on."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        """Read CPU time and throttling of the hosts."""
        self._hosts = list(hosts)
        self._cpu = [host.cpu_seconds() for host in hosts]
        self._throttled = self._held_back()

    def cpu(self) -> float | None:
        """Return CPU seconds of all hosts since then; None where one is unknown."""
        total = 0.0
        for host, before in zip(self._hosts, self._cpu, strict=True):
            after = host.cpu_seconds()
            if after is None:
                return None
            total += max(0.0, after - (before or 0.0))
        return total

    def events(self) -> list[RunEvent]:
        """Return an event when something other than a cpu_limit held the hosts back."""
        after = self._held_back()
        if after is None or self._throttled is None or after - self._throttled < 0.01:
            return []
        text = f"a quota around the harness held it back for {after - self._throttled:.2f} s"
        return [RunEvent(at=utc_now(), kind="throttled", text=text)]

    def _held_back(self) -> float | None:
        known = [host.throttled() for host in self._hosts]
        return max((seconds for seconds in known if seconds is not None), default=None)
