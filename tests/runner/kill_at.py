"""Run a campaign and kill this very process at a journal event: ``STUDY RESULTS EVENT MOMENT``.

MOMENT is ``before`` or ``after`` the line is on the disk.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from bench.records.results import Line
from bench.store.folder import Store
from bench.store.journal import Journal
from tests.campaigns import campaign


def main() -> None:
    study, results, event, moment = sys.argv[1:]
    written = 0
    write = Journal.write

    def deadly(self: Journal, line: Line) -> None:
        nonlocal written
        written += 1
        due = written == int(event)
        if due and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        write(self, line)
        if due:
            os.kill(os.getpid(), signal.SIGKILL)

    Journal.write = deadly  # type: ignore[method-assign]
    campaign(Path(study), Store(Path(results)))


if __name__ == "__main__":
    main()
