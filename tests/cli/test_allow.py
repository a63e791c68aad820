"""``report --allow``: a difference is accepted by its name, an unknown name is one clear line."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bench.errors import UserError
from bench.reading.study import Question, answers
from bench.store.folder import Store
from tests.analysis.factory import QUALITY, Maker, case, session
from tests.cli.test_bad_input import benchcast


def results(folder: Path) -> Path:
    """Write a study's results in which TensorFlow computed in float32."""
    folder.mkdir(parents=True)
    make, cases = Maker(), [case("spark-logreg"), case("tensorflow-logreg")]
    other = msgspec.structs.replace(QUALITY, precision="float32")
    runs = [make.run(cases[i % 2], 10.0 + i, i // 2) for i in range(4)]
    runs[1::2] = [msgspec.structs.replace(run, quality=other) for run in runs[1::2]]
    lines = [msgspec.json.encode(line) for line in (session(cases), *runs)]
    (folder / "s1.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return folder


def test_the_page_says_what_was_accepted(work: Path) -> None:
    folder = results(work / "results" / "example")
    refused = benchcast("report", str(folder), "--allow", "precison")
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert "--allow precison" in line
    assert "allowed here: precision" in line
    assert "did you mean 'precision'?" in line
    assert not Path("reports").exists()
    done = benchcast("report", str(folder), "--allow", "precision")
    assert done.returncode == 0, done.stderr
    for name in ("index.html", "report.md"):
        assert "accepted by the reader: precision" in Path("reports/example", name).read_text()


def test_nothing_to_accept_is_said(work: Path) -> None:
    store = Store(results(work / "results" / "example"))
    question = Question(chosen=lambda cell: cell.workload == "spark-logreg", allow=["precision"])
    with pytest.raises(UserError, match="there are none here"):
        answers(store, question, pytest.fail)
