"""The error tree. Every error says what was wrong, the value, what is allowed and what to do.

BenchError
├── UserError            exit 2: the user can fix it, nothing was started
│   ├── StudyError       the study file
│   ├── WorkloadError    a workload's folder or manifest
│   ├── StoreError       the results folder
│   ├── TelemetryError   an event log or samples that cannot be read
│   ├── MissingExtra     an optional dependency is not installed
│   └── UnsuitableEnvironment the environment cannot run the study
└── MeasureError         exit 3: the request is right, but it could not be measured
    ├── LaunchFailed     hosts or an engine did not start completely
    │   └── HostLost     a host no longer answers
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
        """Take ``what`` (problem, value, what is allowed) and ``remedy`` (what to do)."""
        self.what = " ".join(what.split())
        self.remedy = " ".join(remedy.split())
        super().__init__(f"{self.what}; {self.remedy}" if self.remedy else self.what)


class UserError(BenchError):
    """The user can fix it; nothing was started."""

    exit_code = 2


class StudyError(UserError):
    """A study file has an unknown key, a wrong type or a contradiction."""


class WorkloadError(UserError):
    """A workload's folder or manifest is missing or wrong."""


class StoreError(UserError):
    """A results folder cannot be read or written as it is."""


class TelemetryError(UserError):
    """An event log or a samples file is invalid, or of an unsupported version."""


class MissingExtra(UserError):
    """An optional dependency is missing; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        """Name the missing ``package`` and Benchcast's ``extra`` that installs it."""
        super().__init__(
            f"{package} is not installed", remedy=f"install it: pip install 'benchcast[{extra}]'"
        )
        self.package = package
        self.extra = extra


class UnsuitableEnvironment(UserError):
    """The environment cannot run the study."""


class MeasureError(BenchError):
    """The request was right, but it could not be measured."""


class LaunchFailed(MeasureError):
    """Hosts or an engine did not start completely; the started parts were undone."""


class HostLost(LaunchFailed):
    """A host no longer answers; the message names it as the study does."""


class StorageFailed(MeasureError):
    """Results could not be written; earlier results stay readable."""


class Stopped(MeasureError):
    """A limit or the user ended the campaign before its end; `run` again continues it."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for the closest allowed name, or an empty string."""
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else ""
