"""Where to read a password or passphrase from; never the secret itself."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import msgspec

from bench.errors import UnsuitableEnvironment, UserError


class Secret(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of: ``env`` a variable, ``file`` a path, ``keyring`` an entry "service/user"."""

    env: str | None = None
    file: str | None = None
    keyring: str | None = None

    def __post_init__(self) -> None:
        """Require exactly one place."""
        if sum(place is not None for place in (self.env, self.file, self.keyring)) != 1:
            raise ValueError("a secret names one place: env, file or keyring")


def read(secret: Secret, what: str) -> str:
    """Return the secret; UnsuitableEnvironment names the place where it is missing or empty."""
    if secret.env is not None:
        value, place = os.environ.get(secret.env, ""), f"the variable {secret.env}"
    elif secret.file is not None:
        value, place = _file(secret.file), f"the file {secret.file}"
    else:
        value, place = _keyring(secret.keyring or ""), f"the keyring entry {secret.keyring}"
    if not value:
        raise UnsuitableEnvironment(f"{what}: {place} is not set or empty", remedy="set it")
    return value


def _file(path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        raise UnsuitableEnvironment(f"the file {path} cannot be read: {why}") from None


def _keyring(entry: str) -> str:
    service, slash, user = entry.rpartition("/")
    if not slash:
        raise UnsuitableEnvironment(f"keyring = {entry!r} is not allowed; 'service/user' is")
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        raise UserError("keyring is not installed", remedy="pip install keyring") from None
    try:
        return str(keyring.get_password(service, user) or "")
    except importlib.import_module("keyring.errors").KeyringError as error:
        why = type(error).__name__  # its text may contain secrets
        raise UnsuitableEnvironment(f"the keyring entry {entry} cannot be read: {why}") from None
