"""Any metric of a workload, with its direction: headline, curve, comparison, page."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.runs.headline import headline
from bench.analysis.runs.metrics import MetricRule
from bench.analysis.statistics import interval, quantile, ratio
from bench.analysis.study_types import StudyAnalysis
from bench.records.metrics import Aggregate, Metric
from bench.records.results import Bundle, Histogram, Measurement, Run
from bench.report import markdown
from bench.report.answer import answer
from bench.report.figures import draw
from bench.report.sections.metrics import MOST_ITEMS, metrics
from tests.analysis.factory import Maker, analysis_of, case, digest, session

LATENCY = MetricRule(name="latency", unit="ms", direction="lower", aggregate="p95")
DECLARED = {
    "latency": Metric(unit="ms", direction="lower", aggregate="p95"),
    "throughput": Metric(unit="rows/s", direction="higher"),
    "drift": Metric(unit="", direction="lower", aggregate="mean"),
    "unused": Metric(unit="", direction="lower"),
}
COUNTS = (1, 2, 4)


def bundle(workload: str) -> Bundle:
    return Bundle(
        digest=digest(workload),
        workload=workload,
        task="logistic-regression/1",
        files={},
        metrics=DECLARED,
    )


def told(
    metric: str, *values: float, number: int | None = 0, item: str | None = None
) -> Measurement:
    return Measurement(metric=metric, unit="ms", values=values, number=number, item=item)


def campaign(metric: str, items: int = 2) -> StudyAnalysis:
    """Runs whose latency falls by 20 % and whose throughput doubles with each doubling."""
    make, cases, runs = Maker(), [case(workers=n) for n in COUNTS], []
    for repeat in range(4):
        for n, one in zip(COUNTS, cases, strict=True):
            noise = 1 + 0.01 * repeat
            steps = n.bit_length() - 1
            measured = [
                told("latency", 10 * 0.8**steps * noise, item=f"q{item}") for item in range(items)
            ]
            measured.append(told("throughput", 1000.0 * n * noise))
            measured.append(told("drift", -0.5 + 0.1 * repeat))
            runs.append(make.run(one, 10.0 / n, repeat, measurements=tuple(measured)))
    name = cases[0].use
    return analysis_of(
        [session(cases)], [], runs, metric=metric, bundles={digest(name): bundle(name)}
    )


def a_run(*measured: Measurement, passes: int = 1, warmups: int = 0) -> Run:
    return Maker().run(
        case(), passes=(5.0,) * passes, warmups=warmups, measurements=tuple(measured)
    )


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [("median", 3.0), ("mean", 22.0), ("sum", 110.0), ("min", 1.0), ("max", 100.0), ("p90", 61.6)],
)
def test_a_pass_is_aggregated_over_its_items(aggregate: Aggregate, expected: float) -> None:
    rule = msgspec.structs.replace(LATENCY, aggregate=aggregate)
    run = a_run(told("latency", 1, 2, 3), told("latency", 4, item="b"), told("latency", 100))
    found = headline(run, rule)
    assert found is not None
    assert found.value == pytest.approx(expected)
    assert found.unit == "ms"


def test_the_passes_that_count_are_those_after_the_cold_one() -> None:
    run = a_run(
        *(told("latency", value, number=n) for n, value in enumerate((99, 1, 2, 9))), passes=4
    )
    found = headline(run, LATENCY)
    assert found is not None
    assert (found.value, found.which) == (2.0, "median of the p95 of passes 1 to 3")
    late = headline(a_run(told("latency", 7.0, number=None), passes=4), LATENCY)
    assert late is not None
    assert late.value == 7.0
    assert headline(a_run(told("other", 1.0)), LATENCY) is None
    assert headline(a_run(told("latency", 1.0, number=0), passes=3), LATENCY) is None


def test_a_histogram_gives_its_quantiles_within_a_bin() -> None:
    values = np.random.default_rng(3).lognormal(3, 0.4, 4000)
    counts, edges = np.histogram(values, bins=400)
    bins = Histogram(edges=tuple(edges.tolist()), counts=tuple(counts.tolist()))
    width = edges[1] - edges[0]
    for aggregate, exact in (("median", 0.5), ("p90", 0.9), ("p99", 0.99)):
        rule = msgspec.structs.replace(LATENCY, aggregate=aggregate)
        run = a_run(Measurement(metric="latency", unit="ms", histogram=bins, number=0))
        found = headline(run, rule)
        assert found is not None
        assert found.value == pytest.approx(float(np.quantile(values, exact)), abs=width)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.floats(0, 1))
def test_quantiles_of_plain_values_are_numpy_s(values: list[float], share: float) -> None:
    expected = float(np.quantile(values, share))
    assert quantile.quantile(values, share) == pytest.approx(expected, abs=1e-6, rel=1e-9)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=8), st.floats(1, 50))
def test_values_that_are_not_positive_have_a_plain_interval(
    values: list[float], shift: float
) -> None:
    values = [*values, 0.0]
    found = interval.estimate(values)
    assert found is not None
    moved = interval.estimate([value - 200 - shift for value in values])
    assert moved is not None
    assert found.method == moved.method == interval.PLAIN
    assert found.low is not None
    assert moved.low is not None
    assert moved.mid == pytest.approx(found.mid - 200 - shift, abs=1e-6)
    assert moved.low == pytest.approx(found.low - 200 - shift, abs=1e-6)


def test_less_latency_is_better_and_nothing_says_how_it_ought_to_scale() -> None:
    analysis = campaign("latency")
    (curve,) = analysis.scaling.curves
    last = curve.points[-1]
    assert last.speedup is not None
    assert last.speedup.mid == pytest.approx(1 / 0.64)
    assert (last.ideal, last.efficiency) == (None, None)
    (sentence,) = answer(analysis)
    assert "4 workers have 36 % lower latency than 1 (95 % interval" in sentence
    assert "lower is better" in sentence


def test_more_throughput_is_better_and_has_an_ideal() -> None:
    analysis = campaign("throughput")
    (curve,) = analysis.scaling.curves
    last = curve.points[-1]
    assert last.efficiency is not None
    assert last.efficiency.mid == pytest.approx(1.0)
    assert last.ideal == pytest.approx(4 * curve.points[0].cell.value.mid)  # type: ignore[union-attr]
    (sentence,) = answer(analysis)
    assert "4 workers have 4 times the throughput of 1" in sentence
    assert "higher is better" in sentence


def test_a_metric_that_no_run_reports_counts_no_run() -> None:
    analysis = campaign("unused")
    assert analysis.counts.ok == 0
    assert {row.why_not for row in analysis.runs} == {"it reports no unused that counts"}


def test_a_metric_without_a_declaration_has_no_better_side() -> None:
    make, cases = Maker(), [case(workers=n) for n in (1, 2)]
    runs = [
        make.run(one, 10.0, repeat, measurements=(told("other", 5.0 + repeat),))
        for repeat in range(3)
        for one in cases
    ]
    analysis = analysis_of([session(cases)], [], runs, metric="other")
    assert analysis.scaling.curves[0].points[1].speedup is None
    assert "no manifest declares which direction of other is better" in answer(analysis)[0]


def test_every_metric_reaches_the_page_markdown_and_csv() -> None:
    analysis = campaign("time", items=MOST_ITEMS + 5)
    csv = metrics(analysis.metrics).csv().splitlines()
    assert csv[0].startswith("cell,curve,workers,metric,item,unit,direction,value")
    assert sum(",latency,q" in line for line in csv) == 3 * (MOST_ITEMS + 5)
    text = markdown.render(analysis, draw(analysis))
    assert "## Metrics" in text
    assert "| throughput | all | higher |" in text
    assert text.count("| latency | q") == 3 * MOST_ITEMS
    assert "declared and not reported by any run that counts: unused." in text


def test_values_beyond_what_a_float_can_average_have_no_interval() -> None:
    wide = interval.geometric_mean([1e300, 1e-300])
    assert (wide.low, wide.high) == (None, None)
    assert wide.mid == pytest.approx(1.0)
    assert interval.geometric_mean([1.7e308, 1.7e308]).low is None


def test_ratios_beyond_a_float_have_no_interval() -> None:
    wide = ratio.paired([(1e308, 1e-308), (1e308, 1.0)])
    assert (wide.low, wide.high) == (None, None)
    assert "too large" in wide.note
    unpaired = ratio.ratio([1e308, 1e307], [1e-308, 1e-307])
    assert unpaired is not None
    assert (unpaired.low, unpaired.high) == (None, None)
