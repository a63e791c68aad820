"""CPU time and throttling of worker hosts during a job."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contracts import Host
from bench.ids import utc_now
from bench.records.results import RunEvent


class Meter:
    """CPU time and throttling of worker hosts from its construction on."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        """Read the hosts' present counters."""
        self._hosts = list(hosts)
        self._cpu = [host.cpu_seconds() for host in hosts]
        self._throttled = self._throttled_seconds()

    def cpu(self) -> float | None:
        """Return the CPU seconds of all hosts since then; None if one is unknown."""
        total = 0.0
        for host, before in zip(self._hosts, self._cpu, strict=True):
            after = host.cpu_seconds()
            if after is None:
                return None
            total += max(0.0, after - (before or 0.0))
        return total

    def events(self) -> list[RunEvent]:
        """Return an event if a quota other than cpu_limit throttled the hosts."""
        after = self._throttled_seconds()
        if after is None or self._throttled is None or after - self._throttled < 0.01:
            return []
        text = f"a quota around the harness throttled it for {after - self._throttled:.2f} s"
        return [RunEvent(at=utc_now(), kind="throttled", text=text)]

    def _throttled_seconds(self) -> float | None:
        throttled = [host.throttled() for host in self._hosts]
        return max((seconds for seconds in throttled if seconds is not None), default=None)
