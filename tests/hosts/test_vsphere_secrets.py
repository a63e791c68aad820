"""Secrets: one place each, read when needed, never said."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bench.errors import EnvironmentUnfit
from bench.hosts.vsphere.secrets import Secret, read


def test_a_secret_is_read_from_a_variable_or_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DC1_PASSWORD", "p ss")
    kept = tmp_path / "password"
    kept.write_text("from a file\n", encoding="utf-8")
    assert read(Secret(env="DC1_PASSWORD"), "password") == "p ss"
    assert read(Secret(file=str(kept)), "password") == "from a file"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"env": "NOT_SET_HERE"}, "the variable NOT_SET_HERE is not set or empty"),
        ({"file": "nowhere/password"}, "the file nowhere/password cannot be read"),
        ({"keyring": "dc1"}, "'service/user' is"),
    ],
)
def test_a_secret_that_is_not_there_names_its_place(given: dict[str, str], said: str) -> None:
    with pytest.raises(EnvironmentUnfit) as caught:
        read(Secret(**given), "password")
    assert said in str(caught.value)


@pytest.mark.parametrize("given", ["hunter2", {}, {"env": "A", "file": "b"}, {"text": "hunter2"}])
def test_a_literal_or_several_places_are_refused(given: object) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(given, Secret)
    assert "hunter2" not in str(caught.value)
