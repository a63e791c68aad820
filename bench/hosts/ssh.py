"""Channels over SSH: one asyncio loop in one thread for all, and a connection to each host.

A connection that drops is opened again. Files travel by SFTP over the same connection. Every wait
has a limit. Errors name the host as the study does. Host keys are always checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import hashlib
import json
import os
import posixpath
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bench.errors import HostLost, LaunchFailed
from bench.hosts.agent import program
from bench.hosts.channel import AgentChannel, Timeouts
from bench.hosts.login import Address, known_keys, readable, refusal, ssh_errors

if TYPE_CHECKING:
    import asyncssh

KEEPALIVES = 3  # unanswered messages until a connection is cut
FULL = 1 << 20  # bytes: a disk with less free space is full
AT_ONCE = 8  # files in transfer at a time

_T = TypeVar("_T")
_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def in_loop(work: Coroutine[Any, Any, _T], timeout: float | None) -> _T:
    """Run a coroutine in the loop's thread; TimeoutError when it takes longer (None: it ends)."""
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


class SshChannel(AgentChannel):
    """A connection to one host, with the agent at its other end."""

    def __init__(self, address: Address, timeouts: Timeouts | None = None) -> None:
        """Keep the address; its ``unreachable_after`` bounds the timeouts."""
        super().__init__(_bounded(timeouts or Timeouts(), address.unreachable_after))
        self.address = address
        self.name = address.name
        self.label = f"host {address.name}"
        self.lost = ""  # why, once it is lost
        self._aborts = 0
        self._connection: asyncssh.SSHClientConnection | None = None
        self._agent: asyncssh.SSHClientProcess[bytes] | None = None
        self._sftp: asyncssh.SFTPClient | None = None

    def connect(self) -> None:
        """Try once to connect; LaunchFailed gives the reason for a failure."""
        with self._lock:
            self.lost = ""
            if self._agent is None:
                self._connect()

    def close(self) -> None:
        """End the connection; processes that it started keep running."""
        with self._lock:
            self._drop()

    def abort(self) -> None:
        """Abort the call in progress (it raises HostLost). The next call reconnects."""
        self._aborts += 1
        if (connection := self._connection) is not None:
            _running().call_soon_threadsafe(connection.abort)

    def send(self, source: Path, target: str) -> None:
        """Copy a whole file to the host; OSError or HostLost."""

        async def work(sftp: asyncssh.SFTPClient, moved: Callable[..., None]) -> None:
            await sftp.makedirs(posixpath.dirname(target), exist_ok=True)
            await sftp.put(str(source), target, follow_symlinks=True, progress_handler=moved)

        self._transfer(work, target)

    def fetch(self, files: Sequence[tuple[str, Path]]) -> None:
        """Copy files of the host to paths on this machine; OSError or HostLost."""

        async def work(sftp: asyncssh.SFTPClient, moved: Callable[..., None]) -> None:
            turn = asyncio.Semaphore(AT_ONCE)

            async def fetch_one(source: str, target: Path) -> None:
                async with turn:
                    await sftp.get(
                        source, str(target), follow_symlinks=True, progress_handler=moved
                    )
                    moved()

            ended = await asyncio.gather(
                *(fetch_one(*pair) for pair in files), return_exceptions=True
            )
            for error in filter(None, ended):
                raise error

        for _, target in files:
            target.parent.mkdir(parents=True, exist_ok=True)
        self._transfer(work)

    def read(self, path: str, offset: int = 0) -> bytes:
        """Return a file's bytes from ``offset`` on."""

        async def work(sftp: asyncssh.SFTPClient, _: Callable[..., None]) -> bytes:
            async with sftp.open(path, "rb") as file:
                size = ((await file.stat()).size or 0) - offset
                data: bytes = await file.read(size, offset) if size > 0 else b""
                return data

        return self._transfer(work)

    def put(self, source: Path, target: str, cache: str) -> None:
        """Copy a file to the host, whose ``cache`` keeps it: it travels once."""
        with source.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        copy = functools.partial(
            self.call, "copy_from_cache", cache=cache, digest=sha256, target=target
        )
        if not copy():
            fresh = f"{target}.arriving"
            self.send(source, fresh)
            copy(fresh=fresh)

    def _transfer(
        self,
        work: Callable[[asyncssh.SFTPClient, Callable[..., None]], Coroutine[Any, Any, _T]],
        target: str = "",
    ) -> _T:
        """Transfer files, again after a lost connection; ``target`` is the file that it writes."""
        import asyncssh

        with self._lock:
            try:
                return self._persist(
                    lambda: in_loop(self._moving(work), None), self.timeouts.answer
                )
            except asyncssh.SFTPNoSuchFile as error:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
            except asyncssh.SFTPPermissionDenied as error:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from error
            except asyncssh.SFTPError as error:
                if target and self.call("free", path=posixpath.dirname(target)) < FULL:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
                raise OSError(errno.EIO, error.reason) from error

    async def _moving(
        self, work: Callable[[asyncssh.SFTPClient, Callable[..., None]], Coroutine[Any, Any, _T]]
    ) -> _T:
        """Do the work while bytes arrive; TimeoutError when none arrive for too long."""
        limit = self.timeouts.answer
        moved = [0]

        def progress(*_: object) -> None:
            moved[0] += 1

        async def whole() -> _T:
            return await work(await self._file_server(), progress)

        task = asyncio.ensure_future(whole())
        while not task.done():
            before = moved[0]
            await asyncio.wait({task}, timeout=limit)
            if not task.done() and moved[0] == before:
                task.cancel()
                raise TimeoutError
        return task.result()

    async def _file_server(self) -> asyncssh.SFTPClient:
        """Return the connection's SFTP client; LaunchFailed if the host offers none."""
        import asyncssh

        assert self._connection is not None
        if self._sftp is None:
            try:
                self._sftp = await self._connection.start_sftp_client()
            except asyncssh.ChannelOpenError as error:
                if self._connection.is_closed():
                    raise
                raise LaunchFailed(
                    f"{self.label}: its SSH server offers no SFTP",
                    remedy="add to its sshd_config: Subsystem sftp internal-sftp",
                ) from error
        return self._sftp

    def _ask(self, request: bytes, timeout: float) -> dict[str, Any]:
        with self._lock:
            return self._persist(lambda: self._exchange(request, timeout), timeout)

    def _persist(self, work: Callable[[], _T], timeout: float) -> _T:
        """Do the work; reopen a dropped connection until the host counts as lost."""
        if self.lost:
            raise HostLost(self.lost)
        deadline = time.monotonic() + self.timeouts.lost
        aborts = self._aborts
        while True:
            try:
                return self._attempt(work, timeout)
            except HostLost as error:
                if self.lost:
                    raise
                why = error.what
            if self._aborts != aborts:
                raise HostLost(f"{self.label}: the call was aborted")
            if time.monotonic() > deadline:
                self.lost = why
                raise HostLost(why)
            time.sleep(0.5)

    def _attempt(self, work: Callable[[], _T], timeout: float) -> _T:
        """Do the work once; drop the connection and raise HostLost if it fails."""
        try:
            self._open()
            return work()
        except TimeoutError as error:
            self._drop()
            raise HostLost(f"{self.label} did not answer for {timeout:g} s") from error
        except _dropped() as error:
            if _is_answer(error):
                raise
            self._drop()
            raise HostLost(f"{self.label}: the connection was cut") from error
        except BaseException:
            self._drop()  # the answer to an interrupted request must not answer the next
            raise

    def _open(self) -> None:
        """Connect if necessary; a host that accepted a login before and refuses one now is lost."""
        if self._agent is not None:
            return
        try:
            self._connect()
        except HostLost:
            raise
        except LaunchFailed as error:
            if not self.peer:
                raise
            self.lost = error.what
            raise HostLost(error.what, remedy=error.remedy) from error

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
        """Log in and start the agent; HostLost where another try may help, else LaunchFailed."""
        limit = self.timeouts.connect
        try:
            connection, process, self.greeting = in_loop(self._login(limit), limit + 5)
        except TimeoutError as error:
            raise HostLost(f"{self.label} does not answer within {limit:g} s") from error
        except UnicodeError as error:  # from the encoding of host names
            what = f"{self.label}: not a valid host name: a part of it is empty or too long"
            raise LaunchFailed(what, remedy="write the host's address as for ssh") from error
        except OSError as error:
            why = error.strerror or str(error)
            raise HostLost(f"{self.label} cannot be reached: {why}") from error
        except ssh_errors() as error:
            raise refusal(self.label, error) from error
        self._connection, self._agent = connection, process
        self.peer = str(connection.get_extra_info("peername")[0])

    async def _login(
        self, limit: float
    ) -> tuple[asyncssh.SSHClientConnection, asyncssh.SSHClientProcess[bytes], dict[str, Any]]:
        import asyncssh

        address = self.address
        options: dict[str, Any] = {"username": address.user} if address.user else {}
        if address.key is not None:
            readable(address.key, f"{self.label}: key")
            options |= {"client_keys": [str(address.key)], "agent_path": None}
            options |= {"passphrase": address.passphrase}
        connection = await asyncio.wait_for(
            asyncssh.connect(
                address.target or address.name,
                address.port,
                known_hosts=known_keys(address),
                host_key_alias=address.alias,
                config=None,
                keepalive_interval=self.timeouts.keepalive,
                keepalive_count_max=KEEPALIVES,
                login_timeout=limit,
                **options,
            ),
            limit,
        )
        try:
            process, greeting = await asyncio.wait_for(self._boot(connection), limit)
            return connection, process, greeting
        except BaseException:
            connection.abort()
            raise

    async def _boot(
        self, connection: asyncssh.SSHClientConnection
    ) -> tuple[asyncssh.SSHClientProcess[bytes], dict[str, Any]]:
        """Send the agent; its first answer holds its facts."""
        import shlex

        python = self.address.python
        command = f"exec {shlex.quote(python)} -I -u -c {shlex.quote(program.BOOT)}"
        process = await connection.create_process(command, encoding=None)
        with contextlib.suppress(BrokenPipeError):  # it may have ended: its errors tell why
            process.stdin.write(program.message())
        if not (greeting := await process.stdout.readline()):
            text = (await process.stderr.read()).decode(errors="replace").strip()[-200:]
            raise LaunchFailed(
                f"{self.label}: {python} does not run: {text}",
                remedy="set python = the path of an interpreter on the host",
            )
        return process, json.loads(greeting)["ok"]

    def _drop(self) -> None:
        connection, self._connection, self._agent = self._connection, None, None
        self._sftp = None
        if connection is not None:
            _running().call_soon_threadsafe(connection.abort)


def _bounded(timeouts: Timeouts, limit: float | None) -> Timeouts:
    """Return timeouts for a host that counts as lost after ``limit`` seconds."""
    if limit is None:
        return timeouts
    return Timeouts(
        connect=min(timeouts.connect, limit),
        answer=timeouts.answer,
        lost=limit,
        keepalive=min(timeouts.keepalive, limit / KEEPALIVES),
    )


def _is_answer(error: Exception) -> bool:
    """Return whether an error is the file server's answer, so the connection still works."""
    import asyncssh

    lost = (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection)
    return isinstance(error, asyncssh.SFTPError) and not isinstance(error, lost)


def _dropped() -> tuple[type[Exception], ...]:
    return (ConnectionError, EOFError, *ssh_errors())
