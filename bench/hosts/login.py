"""Log in to a host by SSH: address, keys, known host keys, and errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench.errors import HostLost, LaunchFailed, MissingExtra, UnsuitableEnvironment

if TYPE_CHECKING:
    import asyncssh


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how to log in; ``name`` is the address as the study writes it.

    ``target`` is the address to connect to, if another one; ``known_hosts`` is a file, or its
    lines; ``alias`` is the host's name in it. A host counts as lost after ``unreachable_after``
    seconds without an answer; if given, it also bounds the other timeouts.
    """

    name: str
    port: int
    user: str | None
    key: Path | None
    known_hosts: Path | bytes
    python: str
    passphrase: str | None = None
    target: str | None = None
    alias: str | None = None
    unreachable_after: float | None = None

    def __repr__(self) -> str:
        """Leave the passphrase out."""
        return f"Address({self.name}:{self.port})"


def need_asyncssh() -> None:
    """Raise MissingExtra when asyncssh is not installed."""
    import importlib.util

    if importlib.util.find_spec("asyncssh") is None:
        raise MissingExtra("asyncssh", "ssh")


def key_file(path: str) -> Path:
    """Return the file of the user's key, which must exist."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise UnsuitableEnvironment(
            f"key = {path!r}: there is no such file",
            remedy="name a private key's file, or drop key: the SSH agent's keys are tried",
        )
    return file


def known_hosts(path: str) -> Path:
    """Return the file of known host keys, which must exist: every host key is checked."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise UnsuitableEnvironment(
            f"known_hosts = {path!r}: there is no such file; no host key can be checked",
            remedy="log in once by ssh, or write the hosts' keys into it (ssh-keyscan)",
        )
    return file


def refusal(label: str, error: Exception) -> LaunchFailed:
    """Return the error to raise for a failed login: HostLost where another try may help."""
    import asyncssh

    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return LaunchFailed(
            f"{label}: its host key is not in known_hosts, or differs from it",
            remedy="compare the key with the host's own, then add it (ssh-keyscan)",
        )
    if isinstance(error, asyncssh.PermissionDenied):
        return LaunchFailed(
            f"{label} refuses the key",  # recorded as a reason, so it names no user
            remedy="add the public key to the user's authorized_keys there",
        )
    if isinstance(error, (asyncssh.KeyImportError, asyncssh.KeyEncryptionError)):
        return LaunchFailed(f"{label}: the key cannot be read", remedy="set its passphrase")
    return HostLost(f"{label}: the connection was cut ({type(error).__name__})")


def ssh_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that asyncssh raises."""
    import asyncssh

    return (asyncssh.Error, asyncssh.KeyImportError, asyncssh.KeyEncryptionError)


def known_keys(address: Address) -> asyncssh.SSHKnownHosts:
    """Return the known host keys; LaunchFailed names an unreadable file and its line."""
    import asyncssh

    given, what = address.known_hosts, f"host {address.name}: known_hosts"
    data = given if isinstance(given, bytes) else readable(given, what)
    text = data.decode(errors="replace")  # only comments hold other encodings
    try:
        return asyncssh.import_known_hosts(text)
    except ValueError as error:
        where = "" if isinstance(given, bytes) else f" {_shown(given)}"
        what += f"{where} cannot be read: line {_unreadable(text)} is not a known_hosts entry"
        raise LaunchFailed(what, remedy="fix or delete that line") from error


def _unreadable(text: str) -> int:
    """Return the number of the first line that is not an entry of a known_hosts file."""
    import asyncssh

    for number, line in enumerate(text.splitlines(), 1):
        try:
            asyncssh.import_known_hosts(line)
        except ValueError:
            return number
    return 0


def readable(path: Path, what: str) -> bytes:
    """Return a local file's content; LaunchFailed, not HostLost, if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        text = f"{what} {_shown(path)} cannot be read: {error.strerror}"
        raise LaunchFailed(text, remedy="name another file, or make that one readable") from error


def _shown(path: Path) -> str:
    """Return a path for records: ``~`` replaces the home folder, which would name the user."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
