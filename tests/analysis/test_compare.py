"""The verdict on equality: every single difference is found and named."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bench.analysis.comparison.types import Verdict
from bench.analysis.study_types import StudyAnalysis
from bench.records.results import Run, Vector
from bench.records.study import Case, Dataset, Shape
from tests.analysis import factory
from tests.analysis.factory import (
    QUALITY,
    Maker,
    analysis_of,
    case,
    digest,
    failed,
    samples,
    session,
    study,
)

SPARK, TF = "spark-logreg", "tensorflow-logreg"


def of(left: Case, right: Case, **changes: Any) -> tuple[StudyAnalysis, Verdict]:
    """Return the analysis and verdict of two cases with two runs each; ``changes`` to right's."""
    make = Maker()
    runs = [make.run(left, 10.0 + i, i) for i in range(2)]
    other = [make.run(right, 5.0 + i, i) for i in range(2)]
    runs += [msgspec.structs.replace(run, **_changed(run, changes)) for run in other]
    found = analysis_of([session([left, right])], [], runs)
    return found, next(v for v in found.comparison.verdicts if v.scope == "across")


def _changed(run: Run, changes: dict[str, Any]) -> dict[str, Any]:
    digests, quality = changes.get("digests", {}), changes.get("quality", {})
    rest = {name: value for name, value in changes.items() if name not in ("digests", "quality")}
    assert run.digests is not None
    return {
        "digests": msgspec.structs.replace(run.digests, **digests),
        "quality": factory.quality(**quality) if quality is not None else None,
        **rest,
    }


def test_equal_work_is_comparable_and_gives_a_ratio() -> None:
    found, verdict = of(case(SPARK), case(TF))
    assert verdict.comparable is True
    assert verdict.reasons == ()
    assert {check.name for check in verdict.checks} == {"objective", "auc"}
    assert [one.workers for one in found.comparison.ratios] == [1]
    assert found.comparison.ratios[0].ratio.mid == pytest.approx((5 * 6 / 110) ** 0.5)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("dataset", {"digests": {"datasets": {"train": digest("other data")}}}),
        ("objective", {"quality": {"objective": QUALITY.numbers["objective"] + 2e-6}}),
        ("auc", {"quality": {"auc": 0.7612 - 2e-4}}),
        ("precision", {"quality": {"precision": "float32"}}),
        ("converged", {"quality": {"converged": False}}),
        ("stages", {"stages_mode": "staged"}),
        ("passes", {"passes": (5.0, 5.1)}),
        ("warmups", {"warmups": 1}),
    ],
)
def test_a_difference_of_the_runs_is_named(name: str, changes: dict[str, Any]) -> None:
    found, verdict = of(case(SPARK), case(TF), **changes)
    assert verdict.comparable is False
    against = [one.name for one in verdict.differences if not one.allowed]
    assert against == [name]
    assert any(name in reason for reason in verdict.reasons)
    assert found.comparison.ratios == ()


@pytest.mark.parametrize(
    ("names", "changes"),
    [
        (["params.tolerance"], {"params": {"tolerance": 1e-4, "regularization": 0.01}}),
        (["dataset.seed"], {"datasets": {"train": Dataset(name="made", params={"seed": 2})}}),
        (["dataset.name"], {"datasets": {"train": Dataset(name="other", params={"seed": 1})}}),
        (["worker.cores"], {"worker": Shape(cores=2, memory=2 << 30)}),
    ],
)
def test_a_difference_of_the_cases_is_named_with_both_values(
    names: list[str], changes: dict[str, Any]
) -> None:
    data = {"train": Dataset(name="made", params={"seed": 1})}
    _, verdict = of(case(SPARK, datasets=data), case(TF, **{"datasets": data, **changes}))
    against = {one.name: one for one in verdict.differences if not one.allowed}
    assert verdict.comparable is False
    assert set(names) <= set(against)
    for name in names:
        assert against[name].left != against[name].right


def test_a_changed_bundle_of_one_workload_is_named() -> None:
    there = case(SPARK, environment="there")
    _, verdict = of(case(SPARK), there, digests={"bundle": digest("changed")})
    assert [one.name for one in verdict.differences if not one.allowed] == ["bundle"]
    _, verdict = of(case(SPARK), there, versions={"spark": "3.5.9", "python": "3.12.0"})
    assert [one.name for one in verdict.differences if not one.allowed] == ["versions.spark"]
    assert "versions.python" in {one.name for one in verdict.differences if one.allowed}


def test_another_machine_is_noted_and_not_held_against() -> None:
    _, verdict = of(case(SPARK), case(TF), machines=(digest("another machine"),))
    assert verdict.comparable is True
    assert [(one.name, one.allowed) for one in verdict.differences] == [("machine", True)]


def test_without_quality_nothing_is_proven() -> None:
    found, verdict = of(case(SPARK), case(TF), quality=None)
    assert verdict.comparable is None
    assert any("quality" in reason for reason in verdict.reasons)
    assert found.comparison.ratios == ()


def test_the_factor_under_study_is_allowed_but_its_model_is_not() -> None:
    loose = case(
        SPARK, params={"tolerance": 1e-3}, factors={"workers": 1, "params.tolerance": 1e-3}
    )
    tight = case(
        SPARK, params={"tolerance": 1e-9}, factors={"workers": 1, "params.tolerance": 1e-9}
    )
    _, verdict = of(loose, tight)
    assert verdict.comparable is True
    _, verdict = of(loose, tight, quality={"objective": 0.5})
    assert [one.name for one in verdict.differences if not one.allowed] == ["objective"]


def test_coefficients_of_one_workload_must_agree_over_worker_counts() -> None:
    make, cases = Maker(), [case(SPARK, 1), case(SPARK, 2)]
    moved = Vector(count=3, norm=2.0, projections=(0.5, -0.25 + 4e-9))
    bent = factory.quality(vector=moved)
    runs = [make.run(cases[0], 10.0), make.run(cases[1], 6.0, quality=bent)]
    found = analysis_of([session(cases)], [], runs)
    assert [one.name for one in found.comparison.verdicts[0].differences] == ["vector"]
    assert found.comparison.verdicts[0].comparable is False


def test_the_analysis_finds_the_known_truth() -> None:
    sessions, machines, runs = study(repeats=9, counts=(1, 2, 4))
    chosen = factory.drawn_runs(runs)
    found = analysis_of(sessions, machines, runs, samples={run: samples() for run in chosen})
    assert [curve.label for curve in found.scaling.curves] == [SPARK, TF]
    for curve, gain in zip(found.scaling.curves, (1.3, 1.7), strict=True):
        for point in curve.points[1:]:
            assert point.speedup is not None
            assert point.speedup.mid == pytest.approx(gain ** (point.cell.workers // 2), rel=0.06)
            assert point.efficiency is not None
            assert point.efficiency.mid == pytest.approx(point.speedup.mid / point.cell.workers)
            assert point.ideal is not None
    assert {one.run for one in found.utilization} == set(chosen)
    assert None in found.utilization[0].series[0].cpu
    assert found.unknown == ()


def test_only_the_latest_ok_run_of_a_cell_counts() -> None:
    make, one = Maker(), case()
    runs = [make.run(one, 10.0), make.run(one, 20.0), failed(make.run(one, 1.0))]
    found = analysis_of([session([one])], [], runs)
    assert found.scaling.points[0].cell.value is not None
    assert found.scaling.points[0].cell.value.mid == 20.0
    assert [row.counted for row in found.runs] == [False, True, False]
    assert found.runs[0].why_not == f"superseded by {runs[1].run}"


def test_runs_of_other_cells_are_an_earlier_study() -> None:
    make, one = Maker(), case()
    old, new = make.run(one, 30.0, 0), make.run(one, 10.0, 1)
    found = analysis_of([session([one])], [], [old, new], planned={new.cell.key, digest("open")})
    assert [row.counted for row in found.runs] == [False, True]
    assert "earlier study" in found.runs[0].why_not
    assert any("1 of 2 planned" in line for line in found.unknown)


def test_an_edited_workload_is_not_pooled_with_its_older_self() -> None:
    make, one = Maker(), case()
    old = make.run(one, 30.0, 0)
    assert old.digests is not None
    edited = msgspec.structs.replace(old.digests, bundle=digest("edited"))
    new = make.run(one, 10.0, 1, digests=edited)
    found = analysis_of([session([one])], [], [old, new])
    assert [row.counted for row in found.runs] == [False, True]


def test_nothing_can_be_analysed_too() -> None:
    assert analysis_of([], [], []).scaling.curves == ()
