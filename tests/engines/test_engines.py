"""What the rest asks of the only list of engines."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from bench import workloads
from bench.contracts import Engine
from bench.engines import ENGINES

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_the_extra_installs_what_an_engine_names(engine: Engine) -> None:
    extras = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]
    asked = {text.split(">")[0] for text in extras[engine.extra]}
    assert asked == set(engine.distributions)


def test_every_workload_of_ours_has_an_engine() -> None:
    used = {workloads.manifest(name, PROJECT.parent).engine for name in workloads.names()}
    assert used == set(ENGINES)
