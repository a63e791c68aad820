"""The reference results are what the README, the page and the issue say they are."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal

from bench import environments, study, workloads
from bench.analysis.study_types import StudyAnalysis
from bench.report import markdown
from bench.report.sections.runs import runs
from bench.run_files import spark_event_log
from tests import reference

EVENT_LOGS = Path(__file__).parent / "run_files" / "eventlogs"
READ = study.load(
    reference.ROOT / "studies" / "reference.toml",
    environments.kinds(),
    workload=workloads.manifest,
)


@cache
def found() -> StudyAnalysis:
    return reference.analysed()


def test_every_cell_of_the_study_was_measured() -> None:
    planned = {(case.workload, case.environment, case.workers): READ.repeats for case in READ.cases}
    good = Counter(
        (row.workload, row.environment, row.workers) for row in found().runs if row.status == "ok"
    )
    assert dict(good) == planned


def test_all_runs_of_a_task_are_the_same_work() -> None:
    assert {one.scope for one in found().comparison.verdicts} == {"within", "across"}
    assert [one for one in found().comparison.verdicts if one.comparable is not True] == []


def test_the_readme_says_what_was_measured() -> None:
    text = (reference.ROOT / "README.md").read_text()
    said = text.partition(reference.BEGIN)[2].partition(reference.END)[0]
    assert said.strip() == reference.figures(found()).strip()
    pictures = re.findall(r"\]\((reports/reference/[^)]+)\)", text)
    assert pictures
    assert all((reference.ROOT / picture).is_file() for picture in pictures)


def test_the_page_was_rendered_from_these_results() -> None:
    rendered = markdown.render(found())
    kept = (reference.PAGE / "report.md").read_text()
    for section in ("## Is it the same work?", "## Cells", "## Machines and versions"):
        assert part(rendered, section) == part(kept, section)
    assert (reference.PAGE / "runs.csv").read_bytes() == runs(found().runs).csv().encode()


def part(text: str, heading: str) -> str:
    """Return a section of a Markdown text."""
    return text.partition(f"\n{heading}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("pattern", [r"/(home|root|tmp|work|usr)/", r"\b10\.\d+\.\d+\.\d+"])
def test_nothing_of_it_names_a_place_of_the_machine(pattern: str) -> None:
    for path in (*reference.RESULTS.rglob("*.jsonl"), *reference.RESULTS.rglob("*.log")):
        assert not re.search(pattern, path.read_text()), path.name
    for path in reference.RESULTS.rglob(reference.EVENTS):
        assert not re.search(pattern, reference.unpacked(path)), path.name


def test_a_scrubbed_log_gives_the_same_tables(tmp_path: Path) -> None:
    log = tmp_path / reference.EVENTS
    shutil.copyfile(EVENT_LOGS / "spark-4.3.0-two-executors.zstd", log)
    before = spark_event_log.read(log)
    reference.scrub(log)
    after = spark_event_log.read(log)
    for name in ("tasks", "stages", "jobs", "executors"):
        assert_frame_equal(getattr(before, name), getattr(after, name))
    assert (before.begin, before.end, before.partial) == (after.begin, after.end, after.partial)


@pytest.mark.real
def test_the_predictions_are_what_whatif_says() -> None:
    kept = reference.predictions()
    assert {(one.of, one.at) for one in kept} == {(of, at) for of in (1, 2, 3) for at in (1, 2, 3)}
    for run in dict.fromkeys(one.run for one in kept[::9]):
        assert reference.replayed(run) == [one for one in kept if one.run == run]


def test_it_is_small() -> None:
    size = sum(path.stat().st_size for path in reference.RESULTS.rglob("*") if path.is_file())
    assert size < 8_000_000
