"""What is noted beside the work, what the reader accepts, and whether runs were interleaved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest

from bench.analysis.comparison import interleaving
from bench.analysis.comparison.types import Verdict
from bench.analysis.study_types import StudyAnalysis
from bench.records.results import Machine, Run
from bench.records.study import Case
from bench.report import markdown
from bench.report import page as html
from tests.analysis import factory
from tests.analysis.factory import MACHINE, Maker, analysis_of, case, digest, session

SPARK, TF = "spark-logreg", "tensorflow-logreg"


def across(found: StudyAnalysis) -> Verdict:
    """Return the verdict on the pair."""
    return next(one for one in found.comparison.verdicts if one.scope == "across")


def pair(
    left: Case, right: Case, *, here: Mapping[str, Any] | None = None, **there: Any
) -> list[Run]:
    """Return two runs of each by turns, with changes to the left and the right ones."""
    make = Maker()
    return [
        make.run(one, 10.0 + repeat, repeat, **changes)
        for repeat in range(2)
        for one, changes in ((left, here or {}), (right, there))
    ]


def judged(runs: Sequence[Run], *machines: Machine, allow: Sequence[str] = ()) -> StudyAnalysis:
    """Return the analysis of runs of the two example workloads."""
    return analysis_of([session([case(SPARK), case(TF)])], machines, runs, allow=allow)


OTHER = digest("another machine")


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("cpu_model", {"cpu_model": "Other CPU"}, ("Example CPU", "Other CPU")),
        ("cores", {"cores": 4}, ("8", "4")),
        ("memory", {"memory": 8 << 30}, ("16 GiB", "8 GiB")),
        ("os", {"os": "Linux 7"}, ("Linux 6", "Linux 7")),
        ("kernel", {"kernel": "6.2"}, ("6.1", "6.2")),
        ("accelerators", {"accelerators": ("H100",)}, ("none", "H100")),
        ("governor", {"governor": "powersave"}, ("performance", "powersave")),
        ("threads_per_core", {"threads_per_core": 2}, ("1", "2")),
        ("virtualization", {"virtualization": "xen"}, ("none", "xen")),
    ],
)
def test_each_fact_of_the_machines_is_named_and_held_against_nobody(
    name: str, change: dict[str, Any], told: tuple[str, str]
) -> None:
    told_all = {"kernel": "6.1", "governor": "performance", "threads_per_core": 1}
    mine = msgspec.structs.replace(MACHINE, virtualization="none", **told_all)
    theirs = msgspec.structs.replace(mine, digest=OTHER, **change)
    runs = pair(case(SPARK), case(TF), machines=(OTHER,))
    verdict = across(judged(runs, mine, theirs))
    assert verdict.comparable is True
    noted = {one.name: (one.left, one.right, one.allowed) for one in verdict.differences}
    assert noted.pop("machine")[2]
    assert noted == {f"machine.{name}": (*told, True)}


def test_a_fact_that_one_side_does_not_tell_is_no_difference() -> None:
    theirs = msgspec.structs.replace(MACHINE, digest=OTHER, governor="performance")
    runs = pair(case(SPARK), case(TF), machines=(OTHER,))
    names = {one.name for one in across(judged(runs, MACHINE, theirs)).differences}
    assert names == {"machine"}


def test_an_old_machine_and_an_old_run_still_decode() -> None:
    line = b'{"record":"machine","digest":"d","cpu_model":"c","cores":1,"memory":1,"os":"o"}'
    machine = msgspec.json.decode(line, type=Machine)
    told = (machine.governor, machine.threads_per_core, machine.virtualization)
    assert told == (None, None, None)
    run = msgspec.to_builtins(Maker().run(case()))
    del run["contention"]
    assert msgspec.convert(run, Run).contention == {}


@pytest.mark.parametrize(
    ("key", "name", "value", "said"),
    [
        ("steal", "steal", 0.05, "5.0% of the CPU time wanted"),
        ("throttled", "throttled", 0.3, "30.0% of the CPU time wanted"),
        ("others", "co-tenants", 1.25, "1.2 cores' worth"),
    ],
)
def test_what_a_machine_withheld_is_noted(key: str, name: str, value: float, said: str) -> None:
    quiet = {key: 0.0}
    runs = pair(case(SPARK), case(TF), here={"contention": quiet}, contention={key: value})
    found = judged(runs)
    noted = {one.name: one for one in across(found).differences}
    assert set(noted) == {name}
    assert (noted[name].right, noted[name].allowed) == (said, True)
    inner = next(one for one in found.comparison.verdicts if one.left == one.right == TF)
    assert inner.notes == (f"{name}: {said} (median of the runs)",)
    calm = pair(case(SPARK), case(TF), here={"contention": quiet}, contention={key: 0.01})
    assert across(judged(calm)).differences == ()


def test_withheld_on_a_side_that_does_not_tell_of_the_other() -> None:
    verdict = across(judged(pair(case(SPARK), case(TF), contention={"steal": 0.05})))
    assert [one.left for one in verdict.differences] == ["not reported"]
    assert verdict.comparable is True


def test_iterations_are_noted() -> None:
    more = factory.quality(iterations=115)
    verdict = across(judged(pair(case(SPARK), case(TF), quality=more)))
    found = [(one.name, one.left, one.right, one.allowed) for one in verdict.differences]
    assert found == [("iterations", "21", "115", True)]


def test_conf_is_part_of_what_environments_are_but_not_within_one() -> None:
    plain, tuned = {"spark.io.codec": "lz4"}, {"spark.io.codec": "zstd"}
    there = case(SPARK, environment="there", conf=tuned)
    cases = [case(SPARK, conf=plain), there]
    verdict = across(analysis_of([session(cases)], [], pair(*cases)))
    found = [(one.name, one.allowed) for one in verdict.differences]
    assert (found, verdict.comparable) == ([("conf.spark.io.codec", True)], True)


PRECISION = factory.quality(precision="float32")
OBJECTIVE = factory.quality(objective=0.5)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("precision", {"quality": PRECISION}),
        ("objective", {"quality": OBJECTIVE}),
        ("converged", {"quality": factory.quality(converged=False)}),
        ("stages", {"stages_mode": "staged"}),
        ("warmups", {"warmups": 1}),
        ("passes", {"passes": (5.0, 5.1)}),
    ],
)
def test_a_difference_is_accepted_by_name_and_said_everywhere(
    name: str, change: dict[str, Any]
) -> None:
    runs = pair(case(SPARK), case(TF), **change)
    assert across(judged(runs)).comparable is False
    assert across(judged(runs, allow=["elsewhere"])).comparable is False
    found = judged(runs, allow=[name])
    verdict = across(found)
    assert (verdict.comparable, verdict.accepted, verdict.reasons) == (True, (name,), ())
    note = {one.name: (one.allowed, one.note) for one in verdict.differences}[name]
    assert note == (True, "accepted by the reader")
    assert [one.accepted for one in found.comparison.ratios] == [(name,)]
    told = f"accepted by the reader: {name}"
    for page in (html.render(found), markdown.render(found), factory.printed(found)):
        assert told in page
        assert "found the same model on the same data" not in page
    assert told in factory.printed(found).splitlines()[-1]


def test_accepting_one_difference_leaves_the_others() -> None:
    off = factory.quality(precision="float32", objective=0.5)
    verdict = across(judged(pair(case(SPARK), case(TF), quality=off), allow=["precision"]))
    assert (verdict.comparable, verdict.accepted) == (False, ("precision",))
    assert [reason.split()[0] for reason in verdict.reasons] == ["objective"]


def test_a_difference_within_a_curve_is_accepted_too() -> None:
    make, one = Maker(), case()
    runs = [make.run(one, 10.0), make.run(one, 10.0, 1, quality=PRECISION)]
    assert analysis_of([session([one])], [], runs).comparison.verdicts[0].comparable is False
    inner = analysis_of([session([one])], [], runs, allow=["precision"]).comparison.verdicts[0]
    assert (inner.comparable, inner.accepted) == (True, ("precision",))


def test_what_is_missing_cannot_be_accepted() -> None:
    verdict = across(judged(pair(case(SPARK), case(TF), quality=None), allow=["quality"]))
    assert verdict.comparable is None


def in_order(order: str, sessions: str = "") -> tuple[str, ...]:
    """Return the notes on runs measured in this order ("ABBA"), in sessions of one letter each."""
    make, cases = Maker(), {"A": case(SPARK), "B": case(TF)}
    runs = [
        make.run(cases[side], 10.0, place, session=name)
        for place, (side, name) in enumerate(zip(order, sessions or "s" * len(order), strict=True))
    ]
    names = dict.fromkeys(sessions or "s")
    known = [session(list(cases.values()), name) for name in names]
    notes = across(analysis_of(known, [], runs)).notes
    return tuple(note for note in notes if "interleaved" in note or "drift" in note)


@pytest.mark.parametrize("order", ["ABBA", "ABABAB", "ABBABA", "BAABAB"])
def test_runs_by_turns_are_interleaved(order: str) -> None:
    assert in_order(order) == ()


def test_one_curve_after_the_other_is_not_interleaved() -> None:
    before = f"not interleaved in session s: {SPARK} was measured before {TF}"
    assert in_order("AAABBB") == (before,)
    after = f"not interleaved in session s: {TF} was measured before {SPARK}"
    assert in_order("BBAA") == (after,)
    (hardly,) = in_order("AAABABBB")
    assert hardly.startswith("hardly interleaved in session s: a steady drift counts with 88%")


def test_sessions_apart_are_not_interleaved() -> None:
    (note,) = in_order("ABAB", "xyxy")
    assert note.startswith("measured in different sessions, not interleaved")
    (partly,) = in_order("ABBAAA", "xxxxyy")
    assert partly.startswith("2 of 6 runs were measured in sessions without the other side")


def test_the_imbalance_is_the_part_of_a_steady_drift_that_counts() -> None:
    for order in ("AB", "ABBA", "AABB", "AABAB", "BABBBAAB"):
        ids = [f"{place:02}" for place in range(len(order))]
        times = {"A": [], "B": []}  # type: dict[str, list[float]]
        runs = {"A": [], "B": []}  # type: dict[str, list[str]]
        for place, side in enumerate(order):
            runs[side].append(ids[place])
            times[side].append(100.0 + 3.0 * place)  # a drift of 3 s a run, no true difference
        apart = [sum(one) / len(one) for one in times.values()]
        expected = abs(apart[0] - apart[1]) / (3.0 * len(order) / 2)
        assert interleaving.imbalance(runs["A"], runs["B"]) == pytest.approx(expected)
