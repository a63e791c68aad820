"""Secrets: one place each, read when needed, never said."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.errors import UnsuitableEnvironment, UserError
from bench.secrets import Secret, read


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
    with pytest.raises(UnsuitableEnvironment) as caught:
        read(Secret(**given), "password")
    assert said in str(caught.value)


@pytest.mark.parametrize("given", ["hunter2", {}, {"env": "A", "file": "b"}, {"text": "hunter2"}])
def test_a_literal_or_several_places_are_refused(given: object) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(given, Secret)
    assert "hunter2" not in str(caught.value)


class _Keyring(types.ModuleType):
    """A keyring that knows one entry, and one that it fails to read."""

    errors: Any

    def get_password(self, service: str, user: str) -> str | None:
        if user == "broken":
            raise self.errors.KeyringError("hunter2")
        return "open sesame" if (service, user) == ("lab/dc1", "bench") else None


def test_a_secret_is_read_from_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = _Keyring("keyring")
    ring.errors = types.ModuleType("keyring.errors")
    ring.errors.KeyringError = type("KeyringError", (Exception,), {})
    monkeypatch.setitem(sys.modules, "keyring", ring)
    monkeypatch.setitem(sys.modules, "keyring.errors", ring.errors)
    assert read(Secret(keyring="lab/dc1/bench"), "password") == "open sesame"
    with pytest.raises(UnsuitableEnvironment, match="entry lab/dc1/other is not set"):
        read(Secret(keyring="lab/dc1/other"), "password")
    with pytest.raises(UnsuitableEnvironment, match="cannot be read: KeyringError") as caught:
        read(Secret(keyring="lab/dc1/broken"), "password")
    assert "hunter2" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(UserError, match="keyring is not installed; pip install keyring"):
        read(Secret(keyring="lab/dc1/bench"), "password")
