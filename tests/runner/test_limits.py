"""``limits.machines`` is never passed: what would take more is skipped, with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import StudyError, UnsuitableEnvironment
from bench.store.folder import Store
from tests.campaigns import campaign, prepare, write


def limited(folder: Path, limit: str) -> Path:
    path = write(folder)
    path.write_text(f"limits = {{ machines = {limit} }}\n{path.read_text()}")
    return path


def test_cells_that_would_take_more_machines_are_skipped(work: Path) -> None:
    store = Store(work / "results" / "fake")
    tally, _ = campaign(limited(work, "1"), store)
    assert (tally.ok, tally.skipped) == (4, 4)
    skipped = [run for run in store.read().runs if run.status == "skipped"]
    assert {run.cell.workers for run in skipped} == {2}
    said = "2 workers on fake take 2 machines; limits.machines = 1"
    assert {run.reason for run in skipped} == {said}


def test_a_study_of_which_nothing_fits_is_refused(work: Path) -> None:
    path = limited(work, "1")
    path.write_text(path.read_text().replace("workers = [1, 2]", "workers = [2, 3]"))
    with pytest.raises(UnsuitableEnvironment, match=r"limits\.machines = 1"):
        prepare(path).raise_if_unfit()


def test_a_limit_is_a_whole_number(work: Path) -> None:
    with pytest.raises(StudyError, match=r"limits\.machines: 0 is not allowed"):
        prepare(limited(work, "0"))
