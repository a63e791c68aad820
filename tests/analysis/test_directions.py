"""Each analysis follows the direction of its metric, and says nothing where nobody knows it."""

from __future__ import annotations

import msgspec
import pytest

from bench.analysis.runs import doubts
from bench.analysis.runs.metrics import MetricRule
from bench.analysis.runs.types import RunValue
from bench.analysis.statistics import power
from bench.analysis.statistics.types import Noise, Trend
from bench.analysis.study_types import StudyAnalysis
from bench.plan import Auto
from bench.plan.auto import width_of
from bench.plan.progress import Index
from bench.records import identity
from bench.records.results import Measurement
from bench.records.study import EnvironmentSpec, Study
from bench.report import markdown
from bench.report.answer import answer
from bench.report.figures import draw
from bench.report.sections.caveats import sentences
from tests.analysis.factory import analysis_of, session
from tests.analysis.metrics import analysed, bundle, campaign


def mids(found: StudyAnalysis, name: str) -> list[float | None]:
    """Return the middles of an estimate of the points of the first curve."""
    points = found.scaling.curves[0].points
    return [None if (one := getattr(point, name)) is None else one.mid for point in points]


def test_more_throughput_is_a_speedup_and_scales() -> None:
    found = analysed("throughput", counts=(1, 2, 4))
    gains = mids(found, "speedup")
    assert gains == pytest.approx([1.0, 2**0.8, 4**0.8])
    assert mids(found, "efficiency") == pytest.approx([1.0, 2**-0.2, 4**-0.2])
    ideal = [point.ideal for point in found.scaling.points]
    assert ideal == pytest.approx([ideal[0], 2 * (ideal[0] or 0), 4 * (ideal[0] or 0)])
    (sentence,) = answer(found)[:1]
    assert "4 workers have 3.031 times the throughput of 1 (95 % interval" in sentence
    assert "higher is better), efficiency 76 %" in sentence
    assert "as fast" not in markdown.render(found)


def test_less_throughput_is_said_to_be_less() -> None:
    found = analysed("throughput", rate=lambda n: 1000.0 / n)
    assert mids(found, "speedup") == pytest.approx([1.0, 0.5])
    assert "2 workers have 0.5 times the throughput of 1 (" in answer(found)[0]


def test_a_lower_latency_is_better_and_has_no_ideal() -> None:
    found = analysed("latency")
    assert mids(found, "speedup") == pytest.approx([1.0, 2**0.2])
    assert mids(found, "efficiency") == [None, None]
    assert [point.ideal for point in found.scaling.points] == [None, None]
    assert "2 workers have 13 % lower latency than 1 (95 % interval" in answer(found)[0]
    assert "lower is better)." in answer(found)[0]
    (cell, _) = found.scaling.points
    assert cell.cell.which == "p95 of cold pass 0, the only one"
    assert cell.cell.value is not None
    assert "log values" in cell.cell.value.method


def test_what_nobody_declared_is_never_better() -> None:
    found = analysed("latency", declared=False)
    assert mids(found, "speedup") == [None, None]
    text = markdown.render(found)
    assert "no manifest declares which direction of latency is better" in answer(found)[0]
    assert "no manifest of these results declares it" in text
    assert "is better)" not in text


def test_values_that_are_not_positive_have_intervals_and_no_ratio() -> None:
    found = analysed("balance")
    assert mids(found, "speedup") == [None, None]
    cells = [point.cell.value for point in found.scaling.points]
    assert [one.method for one in cells if one][:1] == ["mean, Student t on plain values"]
    assert "cannot be compared with 1: not all values are positive" in answer(found)[0]


def test_curves_are_compared_in_the_direction_of_their_metric() -> None:
    both = ("spark-logreg", "tensorflow-logreg")  # the second has 1.5 times every number
    more = analysed("throughput", workloads=both)
    assert [one.ratio.mid for one in more.comparison.ratios] == pytest.approx([1.5, 1.5])
    (first,) = [line for line in answer(more) if line.startswith("At 1 worker")]
    assert first.startswith("At 1 worker, tensorflow-logreg has 1.5 times the throughput of spark")
    less = analysed("latency", workloads=both)
    (first,) = [line for line in answer(less) if line.startswith("At 1 worker")]
    assert first.startswith("At 1 worker, tensorflow-logreg has 50 % higher latency than spark-lo")
    unknown = analysed("latency", workloads=both, declared=False)
    (first,) = [line for line in answer(unknown) if line.startswith("At 1 worker")]
    assert "tensorflow-logreg has 1.5 times the latency of spark-logreg (" in first
    assert "is better" not in first


def test_an_outlier_is_called_worse_by_its_direction() -> None:
    values = [RunValue(run=str(i), value=x) for i, x in enumerate((10, 10.1, 9.9, 10.05, 14))]
    more = MetricRule(name="throughput", direction="higher")
    less = MetricRule(name="latency", direction="lower")
    assert "of throughput, better" in doubts.outliers(values, more)[0].text
    assert "of latency, worse" in doubts.outliers(values, less)[0].text
    assert "er" not in doubts.outliers(values, MetricRule(name="x"))[0].text.split("(")[0]
    below = [msgspec.structs.replace(one, value=one.value - 10) for one in values]
    assert [one.run for one in doubts.outliers(below, more)] == ["4"]
    assert doubts.outliers(below) == []  # a time that is not positive says nothing


@pytest.mark.parametrize(
    ("metric", "word"), [("throughput", "for the worse"), ("latency", "for the better")]
)
def test_drift_says_for_better_or_worse(metric: str, word: str) -> None:
    found = analysed(metric)
    fell = Trend(scope="here", p=0.001, change=-0.1, significant=True, n=20, method="m")
    (sentence,) = sentences(msgspec.structs.replace(found, trends=(fell,)))[:1]
    assert f"Drift on here: {metric} changed by -10 % ({word})" in sentence


def test_where_less_is_worse_the_smallest_effect_is_a_fall() -> None:
    noise = Noise(sd=0.05, runs=9)
    rise, fall = power.detectable(5, noise), power.detectable(5, noise, fall=True)
    assert rise is not None
    assert fall is not None
    assert (1 + rise.change) * (1 + fall.change) == pytest.approx(1)
    assert fall.change < 0


@pytest.mark.parametrize(("metric", "blocks"), [("time", 6), ("throughput", 20)])
def test_repeats_by_width_follow_the_studys_metric(metric: str, blocks: int) -> None:
    cases, runs = campaign(counts=(1,), repeats=6)
    of = bundle(cases[0])
    study = Study(
        name="s",
        title="s",
        environments=(EnvironmentSpec(name="here", kind="local"),),
        cases=tuple(cases),
        repeats=20,
        width=0.1,
        metric=metric,
    )
    plan, index = Auto(study, bundles={of.digest: of}), Index()
    cells = identity.cells(cases[0], 6)
    for repeat, run in enumerate(runs):  # times agree, throughput does not
        wild = tuple(
            msgspec.structs.replace(one, values=(1000.0 * 2**repeat,))
            if one.metric == "throughput"
            else one
            for one in run.measurements
        )
        flat = msgspec.structs.replace(run, cell=cells[repeat], passes=(10.0 + repeat / 1e3,))
        index.add(msgspec.structs.replace(flat, measurements=wild))
    planned = len(plan.planned(index))
    assert planned == (blocks if metric == "time" else 7)  # it asks for one more and looks again
    assert [one.width is not None and one.width > 0.1 for one in plan.wide(index)] == (
        [] if metric == "time" else [True]
    )


def test_the_width_of_values_that_are_not_positive() -> None:
    # mean 1, sd 1, n 3: 2 t(0.975; 2) / sqrt(3)
    assert width_of([0.0, 1.0, 2.0], 0.95) == pytest.approx(2 * 4.302653 / 3**0.5, abs=1e-5)
    assert width_of([-1.0, 0.0, 1.0], 0.95) == float("inf")


def test_charts_show_an_ideal_where_the_metric_has_one() -> None:
    rate = {one.name: one for one in draw(analysed("throughput"))}
    assert "throughput (rows/s)" in rate["headline"].svg
    assert "Efficiency" in rate["speedup"].svg
    assert "perfect scaling" in rate["headline"].caption
    late = {one.name: one for one in draw(analysed("latency"))}
    assert "latency (ms)" in late["headline"].svg
    assert "Efficiency" not in late["speedup"].svg
    assert "ideal" not in late["speedup"].svg + late["speedup"].caption
    assert "perfect scaling" not in late["headline"].caption


def test_an_only_item_is_a_row_where_it_is_not_all() -> None:
    cases, runs = campaign(counts=(1,), repeats=2)
    query = next(one for one in runs[0].measurements if one.item)
    whole = msgspec.structs.replace(query, item=None, values=(99.0,))

    def items(*measured: Measurement) -> list[str]:
        of = [msgspec.structs.replace(run, measurements=measured) for run in runs]
        rows = analysis_of([session(cases)], [], of).metrics
        return [row.item for row in rows if row.metric.name == "latency"]

    assert items(query) == [""]
    assert items(query, whole) == ["", "q1"]
