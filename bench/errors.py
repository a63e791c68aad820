"""The error tree. Every error says what was wrong, the value, what is allowed and what to do.

BenchError
├── UserError            exit 2: the user can mend it, nothing was started
│   ├── StudyError       the study file
│   ├── WorkloadError    a workload's folder or manifest
│   ├── StoreError       the results folder
│   ├── TelemetryError   a file of measures (an event log, samples) that cannot be read
│   ├── MissingExtra     an optional dependency is not installed
│   └── UnsuitableEnvironment the environment cannot run the study as it is asked to
└── MeasureError         exit 3: nothing wrong with the request, it could not be measured
    ├── LaunchFailed     hosts or an engine did not come up, whole
    │   └── HostLost     a host does not answer any more
    ├── StorageFailed    results could not be written (disk full, folder gone)
    └── Stopped          a limit or Ctrl-C ended the campaign before its end
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """Base of all errors that Benchcast raises on purpose; ``str()`` is one line."""

    exit_code = 3

    def __init__(self, what: str, *, remedy: str = "") -> None:
        """Keep ``what`` (problem, value, what is allowed) and ``remedy`` (what to do)."""
        self.what = " ".join(what.split())
        self.remedy = " ".join(remedy.split())
        super().__init__(f"{self.what}; {self.remedy}" if self.remedy else self.what)


class UserError(BenchError):
    """Something that the user can mend; nothing was started."""

    exit_code = 2


class StudyError(UserError):
    """A study file says something that is unknown, of a wrong type or contradictory."""


class WorkloadError(UserError):
    """A workload's folder or manifest is missing or wrong."""


class StoreError(UserError):
    """A results folder cannot be read or written as it is."""


class TelemetryError(UserError):
    """A file of measures is not what it should be, or of a version that is not read."""


class MissingExtra(UserError):
    """An optional dependency is missing; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        """``package`` is the import that failed, ``extra`` the one of ours that installs it."""
        super().__init__(
            f"{package} is not installed", remedy=f"install it: pip install 'benchcast[{extra}]'"
        )
        self.package = package
        self.extra = extra


class UnsuitableEnvironment(UserError):
    """The environment cannot run the study as it is asked to."""


class MeasureError(BenchError):
    """The request was right, but it could not be measured."""


class LaunchFailed(MeasureError):
    """Hosts or an engine did not come up whole; what had come up was undone."""


class HostLost(LaunchFailed):
    """A host does not answer any more; the message names it as the study does."""


class StorageFailed(MeasureError):
    """Results could not be written; what was written before still reads."""


class Stopped(MeasureError):
    """A limit or the user ended the campaign before its end; `run` again continues it."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for the closest allowed name, or an empty string."""
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else ""
