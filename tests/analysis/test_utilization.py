"""Utilization over time: whatever the rate of the samples, their times are their own."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from bench.analysis.runs.utilization import MOST_POINTS, utilization
from tests.analysis import factory
from tests.analysis.factory import Maker, analysis_of, case, gpus, samples, session


def rows(interval: float, seconds: float) -> dict[str, list[object]]:
    """Return samples of a host that uses ``t / 10`` cores at ``t``, and one short one at the end.

    The first is of the start and says levels only; a rate is the mean since the one before.
    """
    times = [i * interval for i in range(math.ceil(seconds / interval))] + [seconds]
    cpu: list[object] = [None]
    cpu += [(a + b) / 2 / 10 for a, b in zip(times, times[1:], strict=False)]
    return {
        "t": list(times),
        "scope": ["host"] * len(times),
        "cpu_user": cpu,
        "cpu_system": [None if one is None else 0.0 for one in cpu],
        "memory_used": [1024.0] * len(times),
    }


@pytest.mark.parametrize("interval", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("seconds", [0.7, 31.3, 1234.5])
def test_the_area_is_the_cpu_time_at_every_rate(interval: float, seconds: float) -> None:
    found = utilization("c", "r", 1, rows(interval, seconds))
    (host,) = found.series
    assert len(host.t) <= MOST_POINTS
    assert host.t[-1] == pytest.approx(seconds)
    steps = [b - a for a, b in zip((0.0, *host.t), host.t, strict=False)]
    area = sum(step * cpu for step, cpu in zip(steps, host.cpu, strict=True) if cpu is not None)
    assert area == pytest.approx(seconds**2 / 20, rel=0.01)
    assert set(host.memory) == {1024.0}


def test_gpus_lie_beside_the_host_and_what_they_do_not_say_is_a_gap() -> None:
    found = utilization("c", "r", 1, rows(1.0, 9.0), gpus(10), 0.2)
    assert found.sampling == 0.2
    assert [gpu.scope for gpu in found.gpus] == ["gpu0", "gpu1"]
    first, second = found.gpus
    assert first.t[0] == 0.0
    assert (first.utilization[0], first.memory[0], first.power[0]) == (0.5, 8.0 * 2**30, 250.0)
    assert set(second.power) == {None}
    assert utilization("c", "r", 1, rows(1.0, 9.0), {}).gpus == ()


def test_a_run_is_shown_with_the_rate_of_its_own_session() -> None:
    one = case()
    runs = [Maker().run(one, 10.0)]
    plain = session([one])
    slow = replace(plain, study=replace(plain.study, sampling=5.0))
    (chosen,) = factory.drawn_runs(runs)
    (shown,) = analysis_of([slow], [], runs, samples={chosen: samples()}).utilization
    assert (shown.sampling, shown.gpus) == (5.0, ())
    found = analysis_of([slow], [], runs, samples={chosen: samples()}, gpus={chosen: gpus()})
    assert len(found.utilization[0].gpus) == 2
    assert "every 5 s" in [fact.value for fact in found.facts if fact.name == "samples"]
