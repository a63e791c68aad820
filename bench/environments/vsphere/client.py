"""A connection to a vCenter: verified TLS, a limit for every call, renewed sessions."""

from __future__ import annotations

import contextlib
import http.client
import importlib
import re
import ssl
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.errors import LaunchFailed, MissingExtra, UnsuitableEnvironment

VERSION = "vim.version.version11"  # of the API: vSphere 6.5; later servers speak it too
NEWER, SINCE = "vim.version.version12", (6, 7)  # for instant clones, if the server has it
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/?#@\[\]]+)(?::([0-9]{1,5}))?", re.ASCII)
LOST = (OSError, http.client.HTTPException)  # the server is gone, it sent no MethodFault


def module(name: str = "pyVmomi") -> Any:
    """Import pyvmomi, which takes seconds; MissingExtra names the extra that installs it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingExtra("pyvmomi", "vsphere") from None


def host_and_port(address: str) -> tuple[str, int]:
    """Return host and port of ``address``, host or host:port; ValueError for anything else."""
    match = _ADDRESS.fullmatch(address)
    host, port = ("", 0) if match is None else (match[1], int(match[2] or 443))
    try:
        host.encode("idna")  # as a socket does: no empty or too long labels
    except UnicodeError:
        host = ""
    if not host or not 1 <= port <= 65535:
        raise ValueError(
            f'vcenter = "{address}" is not allowed; "vc.example.org" or "vc.example.org:443" is'
        )
    return host, port


class Vcenter:
    """One vCenter as one user. ``calls`` counts the sent calls by method.

    A call is repeated only after NotAuthenticated, when the server has done nothing yet. A call
    whose connection died may have succeeded: only the owner's tag on the result shows it.
    """

    def __init__(
        self,
        address: str,
        user: str,
        password: str,
        *,
        ca: Path | None = None,
        call_timeout: float = 60.0,
    ) -> None:
        """Log in. ``address`` is host or host:port; ``ca`` a PEM file, by default the system's.

        UnsuitableEnvironment for a wrong password or an unknown certificate, LaunchFailed for a
        server that does not answer within ``call_timeout`` seconds.
        """
        self.address = address
        self.calls: Counter[str] = Counter()
        self._user, self._password = user, password
        self._soap = _adapter(address, ca, call_timeout)
        self._leave = weakref.finalize(self, _leave, self._soap)
        self._stub = _session_stub(self)
        self._lock = threading.Lock()
        self._sessions = 0
        try:
            with self.errors_named():
                self.login(0)
                self.content = self.instance.RetrieveContent()
                if self.api >= SINCE:
                    for stub in (self._soap, self._stub):
                        stub.ComputeVersionInfo(NEWER)
        except BaseException:
            self._leave.detach()  # there is no session
            self._soap.DropConnections()
            raise

    @property
    def instance(self) -> Any:
        """The service instance, on the renewing session."""
        return module().vim.ServiceInstance("ServiceInstance", self._stub)

    @property
    def sessions(self) -> int:
        """The number of sessions so far."""
        return self._sessions

    @property
    def api(self) -> tuple[int, ...]:
        """The API's version as numbers: (8, 0)."""
        parts = str(self.content.about.apiVersion).split(".")[:2]
        return tuple(int(part) for part in parts if part.isdigit())

    @property
    def product(self) -> str:
        """The vCenter's product name with its version."""
        return str(self.content.about.fullName)

    def login(self, seen: int) -> None:
        """Log in, unless another thread has done so since ``seen`` sessions."""
        vim = module().vim
        with self._lock:
            if self._sessions != seen:
                return
            instance = vim.ServiceInstance("ServiceInstance", self._soap)
            try:
                manager = instance.RetrieveContent().sessionManager
                manager.Login(self._user, self._password)
            except vim.fault.InvalidLogin:
                raise UnsuitableEnvironment(
                    f"vCenter {self.address}: user or password is wrong (user {self._user!r})",
                    remedy="check user, and the secret that password names",
                ) from None
            except ssl.SSLCertVerificationError as error:
                raise UnsuitableEnvironment(
                    f"vCenter {self.address}: its certificate is not trusted: "
                    f"{error.verify_message}",
                    remedy="give the authority's certificate: ca = 'vcenter-ca.pem'",
                ) from None
            except LOST as error:
                raise self.unreachable(error) from None
            except UnicodeError:
                raise UnsuitableEnvironment(
                    f"vCenter {self.address}: user or password cannot be sent as text",
                    remedy="check user, and the secret that password names: it must be UTF-8",
                ) from None
            self._sessions += 1

    def find(self, path: str, what: str) -> Any:
        """Return the object at an inventory path; UnsuitableEnvironment if there is none."""
        managed = self.content.searchIndex.FindByInventoryPath(path)
        if managed is None:
            raise UnsuitableEnvironment(
                f"vCenter {self.address}: there is no {what} at {path!r}",
                remedy="check its name and folder, and that the user may see it",
            )
        return managed

    def reconnect(self, within: float) -> None:
        """Wait until the vCenter answers again; LaunchFailed after ``within`` s.

        A session that the vCenter still knows continues: a new login on it fails (InvalidLogin).
        For any other session, the next call logs in.
        """
        ends = time.monotonic() + within
        while True:
            try:
                self._soap.DropConnections()
                self.instance.CurrentTime()
                self.content = self.instance.RetrieveContent()
            except (*LOST, LaunchFailed) as error:
                if time.monotonic() >= ends:
                    lost = error if isinstance(error, LaunchFailed) else self.unreachable(error)
                    raise lost from None
                time.sleep(0.2)
            else:
                return

    @contextlib.contextmanager
    def errors_named(self) -> Iterator[None]:
        """Raise LaunchFailed for errors of the vCenter; wrap only calls to it."""
        try:
            yield
        except LOST as error:
            raise self.unreachable(error) from None
        except module().vmodl.MethodFault as fault:
            raise self.refused(fault) from None

    def unreachable(self, error: Exception) -> LaunchFailed:
        """Return the error for a vCenter that does not answer."""
        return LaunchFailed(f"vCenter {self.address} does not answer: {type(error).__name__}")

    def refused(self, fault: Any) -> LaunchFailed:
        """Return the error for a vCenter's fault: its name and text, nothing of the call."""
        name = type(fault).__name__.rpartition(".")[2]
        text = str(getattr(fault, "msg", None) or "")
        return LaunchFailed(
            f"vCenter {self.address} refuses: {name}{': ' if text else ''}{text}",
            remedy="look at the user's permissions there" if name == "NoPermission" else "",
        )

    def close(self) -> None:
        """Log out and drop the connections; happens also when the object is deleted."""
        self._leave()


def _leave(soap: Any) -> None:
    """Log out; a server that does not answer has no session either."""
    vim = module().vim
    try:
        with contextlib.suppress(*LOST, vim.fault.NotAuthenticated):
            instance = vim.ServiceInstance("ServiceInstance", soap)
            instance.RetrieveContent().sessionManager.Logout()
    finally:
        soap.DropConnections()


def _adapter(address: str, ca: Path | None, timeout: float) -> Any:
    try:
        host, port = host_and_port(address)
    except ValueError as error:
        raise UnsuitableEnvironment(str(error)) from None
    try:
        # without a context, pyvmomi does not verify loopback addresses
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    except (OSError, ssl.SSLError):
        raise UnsuitableEnvironment(
            f"ca = {str(ca)!r} is not a readable PEM file",
            remedy="give the authority's certificate",
        ) from None
    return module().SoapStubAdapter(
        host=host,
        port=port,
        sslContext=context,
        httpConnectionTimeout=timeout,
        version=VERSION,
        poolSize=16,
    )


def _session_stub(vcenter: Vcenter) -> Any:
    """Return a stub that logs in again on NotAuthenticated and repeats nothing else.

    pyvmomi's SessionOrientedStub also repeats calls after a lost connection, even CloneVM_Task.
    """
    soap, owner = vcenter._soap, weakref.ref(vcenter)  # a cycle would keep its session open
    expired = module().vim.fault.NotAuthenticated

    def invoke(stub: Any, mo: Any, info: Any, args: Any) -> Any:
        vcenter = owner()
        if vcenter is None:
            raise RuntimeError("the connection to this vCenter is closed")
        for attempt in range(2):
            vcenter.calls[info.wsdlName] += 1
            seen = vcenter.sessions
            status, answer = soap.InvokeMethod(mo, info, args, stub)
            if status == 200:
                return answer
            if attempt or not isinstance(answer, expired):
                break
            vcenter.login(seen)
        raise answer

    base = module("pyVmomi.SoapAdapter").StubAdapterBase
    return type("SessionStub", (base,), {"InvokeMethod": invoke})(version=soap.version)
