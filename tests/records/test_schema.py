"""Results of earlier schemas read as the present one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.errors import StoreError
from bench.records import identity
from bench.records.results import SCHEMA
from bench.report.sections.cells import cells
from bench.store import Results, Store
from tests import reference

SAMPLE = Path(__file__).with_name("schema-1")


@pytest.fixture(scope="module")
def sample() -> Results:
    return Store(SAMPLE).read()


def raw() -> list[dict[str, Any]]:
    (file,) = SAMPLE.glob("*.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_run_names_its_case_and_its_keys_are_those_of_today(sample: Results) -> None:
    assert len(sample.runs) == sum(line["record"] == "run" for line in raw())
    assert sample.warnings == []
    for run in sample.runs:
        case = sample.cases[run.cell.case]
        assert run.cell == identity.cells(case, run.cell.repeat + 1)[run.cell.repeat]
        assert (case.workload, case.environment) == (run.cell.workload, run.cell.environment)
        assert run.digests is not None
        assert case.bundle == run.digests.bundle
        assert case.program == sample.bundles[case.bundle].workload
        assert case.machines["cores"] == "2"
        assert set(case.datasets) == set(run.digests.datasets) == {"train"}


def test_nothing_that_was_measured_changes(sample: Results) -> None:
    old = {line["run"]: line for line in raw() if line["record"] == "run"}
    for run in sample.runs:
        before = old[run.run]
        assert dict(run.phases) == before["phases"]
        assert list(run.passes) == before["passes"]
        assert (
            before["started_at"]
            == f"{run.started_at:%Y-%m-%dT%H:%M:%S}.{run.started_at.microsecond // 1000:03}Z"
        )
        assert run.quality is not None
        figures, quality = run.quality.figures, before["quality"]
        assert isinstance(quality, dict)
        assert figures["objective"] == quality["objective"]
        assert (figures["converged"], figures["iterations"]) == (True, quality["iterations"])


def test_renamed_fields_keep_their_values(sample: Results) -> None:
    marks = {line["run"]: line.get("marks", []) for line in raw() if line["record"] == "run"}
    for run in sample.runs:
        told = [{"kind": event.kind, "text": event.text} for event in run.events]
        assert told == [{"kind": one["kind"], "text": one["text"]} for one in marks[run.run]]
    assert "throttled" in {event.kind for run in sample.runs for event in run.events}
    assert sample.machines["f" * 64].hypervisor == {"hypervisor": "ESXi", "clone": "linked"}
    assert [use.provision_seconds for use in sample.clusters[-1].machines] == [4.0]
    limits = next(iter(sample.bundles.values())).quality
    assert limits.requires == {"converged": True}
    assert set(limits.tolerances) == {"objective", "auc", "vector"}
    assert [started.run for _, started in sample.orphans] == ["261121-180000000-dead"]


def test_settings_of_an_environment_keep_what_is_keyed(sample: Results) -> None:
    (session,) = sample.sessions.values()
    environment = session.study.environments[-1]
    assert environment.settings["hosts"] == [{"address": "node1", "cores": 4}, {"address": "node2"}]
    assert environment.keyed["hosts"] == [{"address": "node1"}, {"address": "node2"}]


def test_a_session_of_today_adds_to_a_folder_of_schema_1(tmp_path: Path, sample: Results) -> None:
    folder = tmp_path / "study"
    shutil.copytree(SAMPLE, folder)
    store = Store(folder)
    (session,) = sample.sessions.values()
    journal = store.journal(msgspec.structs.replace(session, session="z", schema=SCHEMA))
    journal.close()
    assert len(store.read().runs) == len(sample.runs)
    assert f'"schema":{SCHEMA}' in (folder / "z.jsonl").read_text()


def test_a_corrupt_line_of_schema_1_is_named(tmp_path: Path) -> None:
    (file,) = SAMPLE.glob("*.jsonl")
    lines = file.read_text().splitlines()
    at = next(n for n, line in enumerate(lines) if '"record":"run"' in line)
    lines[at] = lines[at].replace('"cell":', '"cill":')
    (tmp_path / file.name).write_text("\n".join(lines) + "\n")
    with pytest.raises(StoreError, match=f"{file.name}: line {at + 1} cannot be read"):
        Store(tmp_path).read()


def test_the_reference_has_the_figures_that_it_had_in_schema_1() -> None:
    """``reference-1/cells.csv`` was rendered before there was a schema 2."""
    before = Path(__file__).parent / "reference-1" / "cells.csv"
    assert cells(reference.analysed()).csv() == before.read_text()
