"""Whoever builds environments closes them, whatever happens in between."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli.app import app
from bench.environments.fake import FakeEnvironment
from bench.errors import LaunchFailed
from bench.records.study import EnvironmentSpec
from tests.campaigns import prepare, write


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[FakeEnvironment]:
    """The environments that were closed so far."""
    seen: list[FakeEnvironment] = []
    monkeypatch.setattr(FakeEnvironment, "close", lambda self: seen.append(self))
    return seen


def test_a_check_that_fails_leaves_none_open(
    work: Path, closed: list[FakeEnvironment], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise LaunchFailed("the platform does not answer")

    monkeypatch.setattr(FakeEnvironment, "check", lost)
    with pytest.raises(LaunchFailed):
        prepare(write(work))
    assert len(closed) == 1


@pytest.mark.parametrize("verb", ["plan", "run", "doctor", "cleanup"])
def test_every_verb_closes_what_it_builds(
    verb: str, work: Path, closed: list[FakeEnvironment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work)
    study = str(write(work, workers=[1], repeats=1))
    if verb == "cleanup":
        assert CliRunner().invoke(app, ["run", study]).exit_code == 0
        closed.clear()
    built: list[FakeEnvironment] = []
    begin = FakeEnvironment.__init__

    def begun(self: FakeEnvironment, spec: EnvironmentSpec) -> None:
        built.append(self)
        begin(self, spec)

    monkeypatch.setattr(FakeEnvironment, "__init__", begun)
    assert CliRunner().invoke(app, [verb, study]).exit_code == 0
    assert [id(one) for one in built] == [id(one) for one in closed]
    assert built
