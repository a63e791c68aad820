"""A real sshd on loopback for tests: its own port, host key, user key and known hosts."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.hosts.login import Address
from tests.conftest import absent

ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")  # all are this machine
REMEDY = "apt-get install openssh-server"


class Sshd(msgspec.Struct, kw_only=True):
    """A running sshd; ``process`` is its listener."""

    port: int
    key: Path
    known_hosts: Path
    folder: Path
    process: subprocess.Popen[bytes]

    def address(self, **other: object) -> Address:
        """Return where it is, with what the test wants otherwise."""
        return msgspec.structs.replace(self._here(), **other)

    def settings(self, **other: object) -> dict[str, object]:
        """Return an environment's settings with this one host."""
        known = {"user": getpass.getuser(), "port": self.port, "key": str(self.key)}
        rest = {"known_hosts": str(self.known_hosts), "python": sys.executable}
        return {"hosts": list(ADDRESSES), **known, **rest, **other}

    def sessions(self) -> list[int]:
        """Return the processes of open connections: the listener's descendants of its own name."""
        found, level = [], [self.process.pid]
        while level:
            below = [pid for parent in level for pid in _children(parent)]
            level = [pid for pid in below if _name(pid).startswith("sshd")]
            found += level
        return found

    def cut(self) -> None:
        """End every open connection."""
        for pid in self.sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _here(self) -> Address:
        return Address(
            name="127.0.0.1",
            port=self.port,
            user=getpass.getuser(),
            key=self.key,
            known_hosts=self.known_hosts,
            python=sys.executable,
        )


@contextlib.contextmanager
def running(folder: Path, *, sftp: bool = True) -> Iterator[Sshd]:
    """Start an sshd whose files are in ``folder``; end it and its connections."""
    program = shutil.which("sshd", path=f"/usr/sbin:{os.environ['PATH']}")
    if program is None:
        absent("sshd", REMEDY)
    folder.mkdir(parents=True)
    for name in ("host", "user"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(key, check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    (folder / "config").write_text(_config(folder, port, sftp))
    public = (folder / "host.pub").read_text()
    (folder / "known_hosts").write_text("".join(f"[{one}]:{port} {public}" for one in ADDRESSES))
    shutil.copyfile(folder / "user.pub", folder / "authorized")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(program), "-D", "-e", "-f", str(folder / "config")],
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
    made = Sshd(
        port=port,
        key=folder / "user",
        known_hosts=folder / "known_hosts",
        folder=folder,
        process=process,
    )
    try:
        _answers(made)
        yield made
    finally:
        process.send_signal(signal.SIGCONT)
        made.cut()
        process.terminate()
        process.wait(10)


def _config(folder: Path, port: int, sftp: bool) -> str:
    return "\n".join(
        [
            f"Port {port}",
            *(f"ListenAddress {one}" for one in ADDRESSES),
            *(["Subsystem sftp internal-sftp"] if sftp else []),
            f"SetEnv HOME={folder}/home",
            f"HostKey {folder}/host",
            f"PidFile {folder}/pid",
            f"AuthorizedKeysFile {folder}/authorized",
            "UsePAM no",
            "StrictModes no",
            "PasswordAuthentication no",
            "PermitRootLogin prohibit-password",
            "MaxStartups 100",
            "",
        ]
    )


def _answers(made: Sshd) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", made.port), timeout=1).close()
            return
        except OSError:
            assert made.process.poll() is None, (made.folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""
