"""SSH connections: one asyncio loop in one thread for all, and a connection to each host.

A link keeps one connection with the agent (``agent.py``) at its other end, and makes it anew when
it drops. Every wait has a limit. What goes wrong names the host as the study does. Host keys are
always checked.
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from bench.errors import HostLost, LaunchFailed, MissingExtra, UnsuitableEnvironment
from bench.hosts import sent

if TYPE_CHECKING:
    import asyncssh

CONNECT_SECONDS = 15.0  # until a connection is up, logged in
ANSWER_SECONDS = 30.0  # until a request must be answered
LOST_SECONDS = 30.0  # of trying to connect again, after which a host is lost
KEEPALIVE_SECONDS = 5.0
KEEPALIVES = 3  # unanswered ones until a connection is cut

_BOOT = (
    "import sys;n=int(sys.stdin.buffer.readline());"
    "exec(compile(sys.stdin.buffer.read(n),'benchcast-agent','exec'))"
)
_T = TypeVar("_T")
_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how to log in; ``name`` is the address as the study writes it.

    ``target`` is where to connect to, if elsewhere; ``known_hosts`` a file, or the lines of one;
    ``alias`` the name by which these know the host. After ``patience`` seconds without an answer
    the host is lost (None: LOST_SECONDS).
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
    patience: float | None = None

    def __repr__(self) -> str:
        """Leave the passphrase out."""
        return f"Address({self.name}:{self.port})"


def in_loop(work: Coroutine[Any, Any, _T], timeout: float) -> _T:
    """Run a coroutine in the loop's thread; TimeoutError when it takes longer."""
    future = asyncio.run_coroutine_threadsafe(work, _running())
    try:
        return future.result(timeout)
    except FutureTimeout as error:
        future.cancel()
        raise TimeoutError from error


def _running() -> asyncio.AbstractEventLoop:
    """Return the loop; its thread starts with the first use and ends with the process."""
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="bench-ssh", daemon=True).start()
        return _loop


class Link:
    """A connection to one host, made when it is first used; requests take turns."""

    def __init__(self, address: Address, *, lost_after: float = LOST_SECONDS) -> None:
        """Keep the address; a host is lost after ``lost_after`` seconds without an answer.

        The address's own patience goes before.
        """
        patience = address.patience
        self.address = address
        self.lost = ""  # why, once it is lost
        self.peer = ""  # the IP address that the connection went to
        self._aborts = 0
        self.told: dict[str, Any] = {}  # the facts with which the agent greeted
        self.lost_after = lost_after if patience is None else patience
        self._patience = math.inf if patience is None else patience
        self._lock = threading.Lock()
        self._connection: asyncssh.SSHClientConnection | None = None
        self._agent: asyncssh.SSHClientProcess[bytes] | None = None

    def call(self, op: str, *, timeout: float = ANSWER_SECONDS, **arguments: object) -> Any:
        """Ask the agent for ``op``; a dropped connection is made anew and the request repeated.

        Raises HostLost when the host does not answer, LaunchFailed when it refuses us, and
        OSError when the operation fails over there.
        """
        request = json.dumps({"op": op, **arguments}).encode() + b"\n"
        with self._lock:
            if self.lost:
                raise HostLost(self.lost)
            answer = self._persist(request, timeout)
        if "remedy" in answer:
            what = f"host {self.address.name}: {answer['error']}"
            raise LaunchFailed(what, remedy=answer["remedy"])
        if "error" in answer:
            raise OSError(answer["errno"], answer["error"])
        return answer["ok"]

    def connect(self) -> None:
        """Try once to be connected; raises LaunchFailed that says why not."""
        with self._lock:
            self.lost = ""
            if self._agent is None:
                self._connect()

    def close(self) -> None:
        """End the connection; what was started over there goes on."""
        with self._lock:
            self._drop()

    def abort(self) -> None:
        """Let the call that another thread waits for raise HostLost; later calls connect anew."""
        self._aborts += 1
        if (connection := self._connection) is not None:
            _running().call_soon_threadsafe(connection.abort)

    def _persist(self, request: bytes, timeout: float) -> dict[str, Any]:
        deadline = time.monotonic() + self.lost_after
        aborts = self._aborts
        while True:
            why = "the connection was cut"
            try:
                if self._agent is None:
                    self._connect()
                return self._exchange(request, timeout)
            except HostLost as error:
                why = error.what
            except LaunchFailed as error:
                if not self.peer:
                    raise
                self.lost = error.what  # it did let us in before
                raise HostLost(error.what, remedy=error.remedy) from error
            except TimeoutError:
                why = f"host {self.address.name} did not answer for {timeout:g} s"
            except _dropped():
                why = f"host {self.address.name}: {why}"
            self._drop()
            if self._aborts != aborts:
                raise HostLost(f"host {self.address.name}: it is not waited for any more")
            if time.monotonic() > deadline:
                self.lost = why
                raise HostLost(why)
            time.sleep(0.5)

    def _exchange(self, request: bytes, timeout: float) -> dict[str, Any]:
        process = self._agent
        assert process is not None

        async def ask() -> bytes:
            process.stdin.write(request)
            line: bytes = await process.stdout.readline()
            return line

        line = in_loop(ask(), timeout)
        if not line.endswith(b"\n"):
            raise EOFError
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _connect(self) -> None:
        """Log in and start the agent; HostLost where trying again may help, else LaunchFailed."""
        name = self.address.name
        limit = self._limit
        try:
            connection, process, self.told = in_loop(self._login(limit), limit + 5)
        except TimeoutError as error:
            raise HostLost(f"host {name} does not answer within {limit:g} s") from error
        except UnicodeError as error:  # of the encoding that names of hosts have
            what = f"host {name}: this is no address: a part of it is empty or too long"
            raise LaunchFailed(what, remedy="write the host's address as ssh takes it") from error
        except OSError as error:
            why = error.strerror or str(error)
            raise HostLost(f"host {name} cannot be reached: {why}") from error
        except _ssh_errors() as error:
            raise self._refused(error) from error
        self._connection, self._agent = connection, process
        self.peer = str(connection.get_extra_info("peername")[0])

    def _refused(self, error: Exception) -> LaunchFailed:
        import asyncssh

        name = self.address.name
        if isinstance(error, asyncssh.HostKeyNotVerifiable):
            return LaunchFailed(
                f"host {name}: its host key is not in known_hosts, or is another one",
                remedy="compare the key with the host's own, then add it (ssh-keyscan)",
            )
        if isinstance(error, asyncssh.PermissionDenied):
            return LaunchFailed(
                f"host {name} refuses the key",  # recorded as a reason: no user is named
                remedy="add the public key to the user's authorized_keys there",
            )
        if isinstance(error, (asyncssh.KeyImportError, asyncssh.KeyEncryptionError)):
            return LaunchFailed(f"host {name}: the key cannot be read", remedy="say its passphrase")
        return HostLost(f"host {name}: the connection was cut ({type(error).__name__})")

    @property
    def _limit(self) -> float:
        """Seconds until a connection must be up, and then the agent."""
        return min(CONNECT_SECONDS, self._patience)

    async def _login(
        self, limit: float
    ) -> tuple[asyncssh.SSHClientConnection, asyncssh.SSHClientProcess[bytes], dict[str, Any]]:
        import asyncssh

        known = self.address
        options: dict[str, Any] = {"username": known.user} if known.user else {}
        if known.key is not None:
            _readable(known.key, f"host {known.name}: key")
            options |= {"client_keys": [str(known.key)], "agent_path": None}
            options |= {"passphrase": known.passphrase}
        connection = await asyncio.wait_for(
            asyncssh.connect(
                known.target or known.name,
                known.port,
                known_hosts=_known(known),
                host_key_alias=known.alias,
                config=None,
                keepalive_interval=min(KEEPALIVE_SECONDS, self._patience / KEEPALIVES),
                keepalive_count_max=KEEPALIVES,
                login_timeout=limit,
                **options,
            ),
            limit,
        )
        try:
            process, told = await asyncio.wait_for(self._boot(connection), limit)
            return connection, process, told
        except BaseException:
            connection.abort()
            raise

    async def _boot(
        self, connection: asyncssh.SSHClientConnection
    ) -> tuple[asyncssh.SSHClientProcess[bytes], dict[str, Any]]:
        """Send the agent; it says hello with its facts."""
        import shlex

        command = f"exec {shlex.quote(self.address.python)} -I -u -c {shlex.quote(_BOOT)}"
        process = await connection.create_process(command, encoding=None)
        source = sent.program()
        process.stdin.write(f"{len(source)}\n".encode() + source)
        process.stdin.write(b'{"op": "facts"}\n')
        if not (hello := await process.stdout.readline()):
            said = (await process.stderr.read()).decode(errors="replace").strip()[-200:]
            raise LaunchFailed(
                f"host {self.address.name}: {self.address.python} does not run: {said}",
                remedy="say python = the path of an interpreter over there",
            )
        return process, json.loads(hello)["ok"]

    def _drop(self) -> None:
        connection, self._connection, self._agent = self._connection, None, None
        if connection is not None:
            _running().call_soon_threadsafe(connection.abort)


def _known(address: Address) -> asyncssh.SSHKnownHosts:
    """Return the known keys; LaunchFailed names a file that cannot be read, and its line."""
    import asyncssh

    given, what = address.known_hosts, f"host {address.name}: known_hosts"
    data = given if isinstance(given, bytes) else _readable(given, what)
    text = data.decode(errors="replace")  # what is no UTF-8 is in comments
    try:
        return asyncssh.import_known_hosts(text)
    except ValueError as error:
        where = "" if isinstance(given, bytes) else f" {_shown(given)}"
        what += f"{where} cannot be read: line {_unreadable(text)} is none of such a file"
        raise LaunchFailed(what, remedy="mend or delete that line") from error


def _unreadable(text: str) -> int:
    """Return the number of the first line that is none of a known_hosts file."""
    import asyncssh

    for number, line in enumerate(text.splitlines(), 1):
        try:
            asyncssh.import_known_hosts(line)
        except ValueError:
            return number
    return 0


def _readable(path: Path, what: str) -> bytes:
    """Return what is in a file of ours; LaunchFailed: a host is not lost by its absence."""
    try:
        return path.read_bytes()
    except OSError as error:
        said = f"{what} {_shown(path)} cannot be read: {error.strerror}"
        raise LaunchFailed(said, remedy="say another file, or make that one readable") from error


def _shown(path: Path) -> str:
    """Return a path as it may be recorded: the home folder, which names a user, is ``~``."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _ssh_errors() -> tuple[type[Exception], ...]:
    import asyncssh

    return (asyncssh.Error, asyncssh.KeyImportError, asyncssh.KeyEncryptionError)


def _dropped() -> tuple[type[Exception], ...]:
    return (OSError, EOFError, *_ssh_errors())


def need_asyncssh() -> None:
    """Raise MissingExtra when asyncssh is not installed."""
    import importlib.util

    if importlib.util.find_spec("asyncssh") is None:
        raise MissingExtra("asyncssh", "ssh")


def key_file(path: str) -> Path:
    """Return the file of the user's key, which must exist."""
    place = Path(path).expanduser()
    if not place.is_file():
        raise UnsuitableEnvironment(
            f"key = {path!r}: there is no such file",
            remedy="say the file of a private key, or leave key out: the SSH agent's are tried",
        )
    return place


def known_hosts(path: str) -> Path:
    """Return the file of known host keys, which must exist: without it no host can be checked."""
    place = Path(path).expanduser()
    if not place.is_file():
        raise UnsuitableEnvironment(
            f"known_hosts = {path!r}: there is no such file, so that no host can be checked",
            remedy="log in once by ssh, or write the hosts' keys into it (ssh-keyscan)",
        )
    return place
