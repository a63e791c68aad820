"""A vCenter of the lab: govmomi's simulator, with its own certificate, that can be killed.

``python -m tests.labs.vcenter`` builds it (``make lab`` does) into the user's cache, in a folder
named by the digest of its sources.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from bench.directories import cache_root
from tests.labs import unavailable

SOURCES = Path(__file__).resolve().parent / "vcsim"
START_S = 60.0


def program(cache: Path | None = None) -> Path:
    """Return where the built simulator is, or would be, for these sources."""
    digest = hashlib.sha256()
    for path in sorted(p for p in SOURCES.iterdir() if p.suffix in (".go", ".mod", ".sum")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return (cache or cache_root()) / "lab" / digest.hexdigest()[:16] / "vcsim"


# Where it is built: fixed at import, because tests give the code under test caches of its own.
PROGRAM = program()


def missing() -> str | None:
    """Return why there can be no simulator here, or None."""
    if not PROGRAM.is_file():
        return "the vCenter simulator is not built"
    return None if shutil.which("openssl") else "openssl is not installed"


def build() -> str | None:
    """Build the simulator unless it is there; return why that is impossible, or None."""
    if PROGRAM.is_file():
        return None
    go = shutil.which("go")
    if go is None:
        return "the vCenter simulator: no Go compiler (1.24 or newer) on the PATH"
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PROGRAM.parent) as folder:
        made = Path(folder) / "vcsim"
        argv = [go, "build", "-trimpath", "-mod=readonly", "-o", str(made), "."]
        done = subprocess.run(argv, cwd=SOURCES, capture_output=True, text=True)
        if done.returncode:
            return f"the vCenter simulator: go build failed: {done.stderr.strip()[-400:]}"
        made.rename(PROGRAM)
    return None


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for 127.0.0.1; return it and its key (PEM files)."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        + ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        + ["-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )
    return cert, key


class VCenter:
    """One simulated vCenter; ``folder`` holds its certificate, state and log.

    ``clusters``, ``hosts`` (of each cluster) and ``machines`` (other people's, running) size its
    inventory; ``power_on`` and ``power_off`` are shell commands that get a machine's name, the
    first prints the IP that the machine then has. See README.md for ``settings``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clusters: int = 1,
        hosts: int = 3,
        machines: int = 2,
        power_on: str = "",
        power_off: str = "",
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """Make its certificate; nothing runs until ``start``."""
        self.folder = folder
        self.user, self.password = "bench", secrets.token_urlsafe(12)
        self.cert, self._key = certificate(folder)
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        sizes = {"clusters": clusters, "hosts": hosts, "machines": machines}
        hooks = {"power-on": power_on, "power-off": power_off}
        self._flags = [f"-{name}={value}" for name, value in {**sizes, **hooks}.items()]
        self._settings: dict[str, object] = dict(settings or {})

    @property
    def address(self) -> str:
        """Return the address it listens on (the port is ``port``)."""
        return "127.0.0.1"

    def start(self) -> None:
        """Start it (again, on the same port and with what it had saved) and wait until it is ready.

        Raises RuntimeError with its log when it is not.
        """
        argv = [str(PROGRAM), f"-port={self.port}", f"-cert={self.cert}", f"-key={self._key}"]
        argv += [f"-state={self.folder / 'state.json'}", *self._flags]
        argv += [f"-settings={json.dumps(self._settings)}"]
        log = self.folder / "vcsim.log"
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "LAB_PASSWORD": self.password},
            )
        assert self.process.stdout is not None
        with self.process.stdout as answer:
            line = answer.readline()  # it ends when the simulator is ready, or dead
        if not line:
            self.process.wait()
            raise RuntimeError(f"the vCenter simulator did not start: {log.read_text()[-800:]}")
        self.port = urlsplit(json.loads(line)["url"]).port or 0

    def kill(self) -> None:
        """Kill it at once (SIGKILL), as a crash would; ``start`` brings it back."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """Ask it to end, and kill it after ten seconds."""
        if self.process is None:
            return
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=10)
        self.kill()

    def change(self, **settings: object) -> None:
        """Change settings while it runs (they hold for the next starts too)."""
        kept = {name: value for name, value in settings.items() if name != "expire_now"}
        self._settings |= kept
        self._ask("settings", json.dumps(settings).encode())

    def expire(self) -> None:
        """End every session that there is now."""
        self.change(expire_now=True)

    def calls(self) -> dict[str, int]:
        """Return how often each method of the API was called since the start."""
        counts: dict[str, int] = json.loads(self._ask("calls", None))
        return counts

    def _ask(self, path: str, body: bytes | None) -> bytes:
        secret = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        request = urllib.request.Request(
            f"https://{self.address}:{self.port}/lab/{path}",
            data=body,
            headers={"Authorization": f"Basic {secret}"},
        )
        context = ssl.create_default_context(cafile=str(self.cert))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(request, timeout=30) as answer:
            data: bytes = answer.read()
        return data


@contextlib.contextmanager
def vcenter(
    folder: Path,
    *,
    clusters: int = 1,
    hosts: int = 3,
    machines: int = 2,
    power_on: str = "",
    power_off: str = "",
    settings: Mapping[str, object] | None = None,
) -> Iterator[VCenter]:
    """Run a vCenter for the length of a ``with``."""
    server = VCenter(
        folder,
        clusters=clusters,
        hosts=hosts,
        machines=machines,
        power_on=power_on,
        power_off=power_off,
        settings=settings,
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


def main() -> int:
    """Build it, and note where this machine has nothing to build it with."""
    problem = build()
    impossible = problem is not None and shutil.which("go") is None
    unavailable.tell(unavailable.VCENTER, problem if impossible else None)
    print(f"lab: without {problem}" if problem else f"lab: the vCenter simulator is {PROGRAM}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
