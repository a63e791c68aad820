"""Limits of a campaign for all lanes: when it must end, and how many machines it may use."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from bench.errors import Stopped

TICK = 0.2  # seconds between two checks whether the campaign ends, during a wait
_AGAIN = "run again to continue"


class Stop:
    """Tells whether a campaign must end: because of its time limit, its user or an error."""

    def __init__(self, end: float | None = None) -> None:
        """``end`` is the deadline on the monotonic clock, None for no limit."""
        self._end = end
        self._requested = threading.Event()
        self.error: BaseException | None = None

    def request(self, error: BaseException) -> None:
        """End all lanes because of this error; the first one counts."""
        if self.error is None:
            self.error = error
        self._requested.set()

    def due(self) -> bool:
        """Return whether the campaign must end now."""
        return self._requested.is_set() or self._late()

    def check(self) -> None:
        """Raise Stopped when the campaign must end."""
        if self._requested.is_set():
            reason = str(self.error) if isinstance(self.error, Exception) else ""
            raise Stopped(f"stopped: {reason}" if reason else "stopped by the user", remedy=_AGAIN)
        if self._late():
            raise Stopped("the time limit is reached", remedy=_AGAIN)

    def sleep(self, seconds: float) -> None:
        """Wait for some seconds, or until the campaign must end."""
        left = seconds if self._end is None else min(seconds, self._end - time.monotonic())
        self._requested.wait(max(0.0, left))

    def _late(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end


class MachineLimit:
    """Counts the machines of all lanes together, up to the study's limit."""

    def __init__(self, most: int | None = None) -> None:
        """``most`` is None for no limit."""
        self._most = most
        self._held = 0
        self._changed = threading.Condition()

    def change(self, held: int, wanted: int) -> bool:
        """Reserve ``wanted`` machines instead of ``held``; return False above the limit."""
        with self._changed:
            total = self._held - held + wanted
            if self._most is not None and wanted > held and total > self._most:
                return False
            self._held = total
            self._changed.notify_all()
            return True

    def wait(self, wanted: int, stop: Stop, waiting: Callable[[], None]) -> None:
        """Wait until ``wanted`` more machines are allowed and reserve them; Stopped at the end."""
        with self._changed:
            if self.change(0, wanted):
                return
            waiting()
            while not self.change(0, wanted):
                stop.check()
                self._changed.wait(TICK)
