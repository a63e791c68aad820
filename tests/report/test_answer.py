"""The answer in plain words: faster, slower or undecided."""

from __future__ import annotations

import pytest

from bench.report.answer import answer
from tests.analysis.factory import Maker, analysis_of, case, session

SPARK, TF = "spark-logreg", "tensorflow-logreg"


def scaling(*times: float) -> str:
    """Return the sentence on a curve of one worker at 10 s and two workers at these times."""
    make, cases = Maker(), [case(workers=1), case(workers=2)]
    runs = [
        make.run(one, seconds, repeat)
        for repeat, two in enumerate(times)
        for one, seconds in ((cases[0], 10.0), (cases[1], two))
    ]
    return answer(analysis_of([session(cases)], [], runs))[0]


def comparison(*times: float) -> str:
    """Return the sentence on Spark at 10 s and TensorFlow at these times, measured by turns."""
    make, cases = Maker(), [case(SPARK), case(TF)]
    runs = [
        make.run(one, seconds, repeat)
        for repeat, other in enumerate(times)
        for one, seconds in ((cases[0], 10.0), (cases[1], other))
    ]
    return answer(analysis_of([session(cases)], [], runs))[-1]


def test_more_workers_are_faster() -> None:
    assert scaling(5.0, 5.0) == (
        "spark-logreg: 2 workers are 2 times as fast as 1 (95 % interval 2 to 2), efficiency 100 %."
    )


def test_more_workers_are_slower_in_percent() -> None:
    # log ratios of +0.20 and +0.22: e^0.21 = 1.2337, and t(0.975; 1) = 12.706 on sd 0.01 sqrt 2
    said = scaling(10.0 * 1.2214, 10.0 * 1.24608)
    assert said.startswith("spark-logreg: 2 workers are 23 % slower than 1 (95 % interval 8.6 to ")
    assert said.endswith("40 %), efficiency 41 %.")


def test_an_interval_around_1_decides_nothing() -> None:
    assert scaling(9.0, 11.5).endswith("; whether that is faster at all is undecided.")
    assert comparison(9.0, 11.5).endswith("; which of them is faster is undecided.")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (2.0, f"{TF} is 5 times as fast as {SPARK} (95 % interval 5 to 5)."),
        (40.0, f"{SPARK} is 4 times as fast as {TF} (95 % interval 4 to 4)."),
    ],
)
def test_the_faster_one_comes_first(seconds: float, said: str) -> None:
    assert comparison(seconds, seconds) == f"At 1 worker, {said}"
