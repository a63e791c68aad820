"""``export parquet``: what other tools read is what was stored."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as parquet
import pytest

from bench import exporters
from bench.errors import UserError
from bench.exporters import Export
from bench.store import Store

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"


@pytest.fixture
def frames(tmp_path: Path) -> dict[str, pd.DataFrame]:
    what = Export(study="reference", results=Store(REFERENCE).read(), folder=tmp_path)
    files = exporters.find("parquet")(what)
    return {path.stem: pd.read_parquet(path) for path in files}


def test_every_run_is_there_and_joins_its_case(frames: dict[str, pd.DataFrame]) -> None:
    stored = Store(REFERENCE).read()
    runs, cases = frames["runs"], frames["cases"]
    assert list(runs["run"]) == [run.run for run in stored.runs]
    assert set(runs["case"]) == set(cases["case"])
    joined = runs.merge(cases, on="case", suffixes=("", "_of_case"))
    assert (joined["workers_wanted"] == joined["workers"]).all()
    first = stored.runs[0]
    row = runs.iloc[0]
    assert dict(row["phases"]) == dict(first.phases)
    assert row["started_at"] == first.started_at
    assert len(frames["stages"]) == sum(len(run.stages) for run in stored.runs)
    assert len(frames["events"]) == sum(len(run.events) for run in stored.runs)
    assert len(frames["measurements"]) == sum(len(run.measurements) for run in stored.runs)


def test_an_empty_table_keeps_its_columns(tmp_path: Path) -> None:
    what = Export(study="none", results=Store(tmp_path / "no").read(), folder=tmp_path)
    for path in exporters.find("parquet")(what):
        table = parquet.read_table(path)
        assert (table.num_rows, table.num_columns > 2) == (0, True)


def test_an_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="'parkett' is unknown; allowed: parquet; did you mean"):
        exporters.find("parkett")


def test_another_distribution_brings_a_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    points = (
        "[benchcast.exporters]\ntheirs = theirs_format:export\nbroken = theirs_format:nothing\n"
    )
    (info / "entry_points.txt").write_text(points)
    (tmp_path / "theirs_format.py").write_text("def export(what):\n    return [what.folder]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert {"theirs", "parquet"} <= set(exporters.names())
    what = Export(study="s", results=Store(tmp_path / "no").read(), folder=tmp_path)
    assert exporters.find("theirs")(what) == [tmp_path]
    with pytest.raises(UserError, match="'broken' of theirs_format:nothing cannot be loaded"):
        exporters.find("broken")
