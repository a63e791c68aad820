"""The ``:::BENCH`` log: complete, or failed with the reason."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.run_files.workload_log import Log, parse

NONCE = "r1"


def lines(*events: dict[str, object]) -> list[bytes]:
    texts = []
    for number, fields in enumerate(events):
        clock = {"mono_ns": number * 10**9, "wall_ns": number * 10**9}
        line = {"v": 1, "run": NONCE, "seq": number, "rank": 0, **clock, **fields}
        texts.append(b"22:01 INFO :::BENCH " + json.dumps(line).encode() + b"\n")
    return texts


WHOLE = lines(
    {"event": "begin", "versions": {"python": "3.11"}},
    {"event": "ready", "workers": 2},
    {"event": "pass", "pass": 0},
    {"event": "stage", "name": "train", "pass": 0, "seconds": 1.0, "cpu_seconds": 0.5},
    {"event": "pass", "pass": 1},
    {"event": "stage", "name": "train", "pass": 1, "seconds": 0.75},
    {"event": "measure", "metric": "auc", "value": 0.75, "item": "test", "pass": 1},
    {"event": "quality", "figures": {"objective": 0.5, "auc": 0.75, "converged": True}},
    {"event": "artefact", "name": "model", "sha256": "ab", "path": "m.npy"},
    {"event": "end"},
)


def test_a_whole_log_is_read() -> None:
    log = parse(WHOLE, NONCE)
    assert log.fault == ""
    assert (log.workers, log.work, log.passes) == (2, 8.0, (1.0, 1.0))
    assert [(s.name, s.number, s.wall, s.driver_cpu) for s in log.stages] == [
        ("train", 0, 1.0, 0.5),
        ("train", 1, 0.75, None),
    ]
    assert log.measurements[0].values == (0.75,)
    assert log.quality is not None
    assert log.quality.figures == {"objective": 0.5, "auc": 0.75, "converged": True}
    assert (log.artefacts, log.versions) == ({"model": "ab"}, {"python": "3.11"})


@given(st.randoms(use_true_random=False))
def test_order_and_repeats_do_not_matter(dice: random.Random) -> None:
    shuffled = WHOLE + dice.sample(WHOLE, 3) + [b"\xff\xfe noise\n"]
    dice.shuffle(shuffled)
    assert parse(shuffled, NONCE) == parse(WHOLE, NONCE)


@pytest.mark.parametrize("lost", range(len(WHOLE) - 1))
def test_every_lost_line_is_a_fault(lost: int) -> None:
    log = parse(WHOLE[:lost] + WHOLE[lost + 1 :], NONCE)
    assert log.fault == "log incomplete: 1 lines missing"


def test_a_log_that_stops_is_a_fault_that_says_where() -> None:
    assert parse(WHOLE[:4], NONCE).fault == "log incomplete: it stops after 'stage train'"
    assert parse([], NONCE).fault == "log incomplete: the workload wrote no line"
    torn = [*WHOLE[:3], WHOLE[3][:60]]
    assert parse(torn, NONCE).fault == "log incomplete: it stops after 'pass'"


def test_a_foreign_nonce_is_a_fault() -> None:
    foreign = [line.replace(b'"r1"', b'"r2"') for line in WHOLE[:1]]
    assert parse(foreign + WHOLE, NONCE).fault == "log incomplete: 1 lines of another run"


def test_a_workloads_own_error_is_the_reason() -> None:
    failed = lines(
        {"event": "begin"},
        {"event": "ready", "workers": 1},
        {"event": "error", "type": "ValueError", "message": "no rows"},
    )
    assert parse(failed, NONCE).fault == "ValueError: no rows"


def test_work_is_absent_not_zero_where_it_never_ended() -> None:
    assert parse(WHOLE[:5], NONCE).work is None
    assert Log().passes == ()
