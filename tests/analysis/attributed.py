"""What tests of attribution hold every result to."""

from __future__ import annotations

from typing import Any

import pytest

from bench.analysis.attribution.attribution import PARTS, Attribution, attribute
from bench.records.spark_log import SparkLog


def whole(log: SparkLog, slots: int, **launch: Any) -> Attribution:
    """Attribute the application from its begin to its end."""
    return attribute(log, log.begin, log.end, slots, **launch)


def seconds(of: Attribution) -> dict[str, float]:
    return {part.name: part.seconds for part in of.parts}


def adds_up(of: Attribution, wall: float, within: float = 1e-6) -> None:
    """Hold the parts to the wall time, in seconds and slot-seconds, and to their bounds."""
    assert sum(part.seconds for part in of.parts) == pytest.approx(wall, rel=within, abs=1e-5)
    assert of.wall == pytest.approx(wall)
    for part in of.parts:
        assert part.slot_seconds > 0
        assert part.slot_seconds == pytest.approx(part.seconds * of.slots)
        assert part.share == pytest.approx(part.seconds / wall)
        assert part.text == PARTS[part.name]
    assert len({part.name for part in of.parts}) == len(of.parts)
