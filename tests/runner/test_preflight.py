"""Before anything is started each environment is asked once for each distinct cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.contracts import Finding
from bench.engines.spark import java
from bench.environments.fake import FakeEnvironment
from bench.records.cluster import ClusterSpec
from tests.campaigns import prepare, write


def test_one_question_for_each_distinct_cluster(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Counter[int] = Counter()

    def check(place: FakeEnvironment, spec: ClusterSpec) -> Sequence[Finding]:
        asked[spec.workers] += 1
        what = f"{spec.workers} workers are too many"
        return [Finding(severity="error", scope="cell", what=what)] if spec.workers > 1 else []

    monkeypatch.setattr(FakeEnvironment, "check", check)
    study = write(work)
    text = study.read_text().replace(
        'dataset = "synthetic"', 'dataset = "synthetic"\nparams = { max_iterations = [5, 6, 7] }'
    )
    study.write_text(text.replace(', "tensorflow-logistic-regression"', ""))
    prepared = prepare(study)
    assert asked == {1: 1, 2: 1}
    assert len(prepared.study.cases) == 6
    assert len(prepared.findings) == 1
    two = [n for n, case in enumerate(prepared.study.cases) if case.workers == 2]
    assert sorted(prepared.skipped) == two


def test_java_is_asked_once_while_its_file_stays_the_same(tmp_path: Path) -> None:
    program, log = tmp_path / "java", tmp_path / "log"
    program.write_text(f"#!/bin/sh\necho asked >> {log}\necho 'openjdk version \"21.0.1\"'\n")
    program.chmod(0o755)
    assert [java.version_of(program) for _ in range(3)] == ["21.0.1"] * 3
    assert log.read_text().count("asked") == 1
    program.write_text(program.read_text().replace("21.0.1", "22.0.1"))
    assert java.version_of(program) == "22.0.1"
