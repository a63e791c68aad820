"""A connection that is refused, lost and found again: nothing of it stays open."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator

import pytest

from bench.environments.vsphere.client import LOST, Vcenter
from bench.errors import LaunchFailed, UnsuitableEnvironment
from tests.environments.vsphere.contract_cases import connect
from tests.labs import vcenter as lab

pytestmark = pytest.mark.lab


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What was left open for the collector, gathered at the end of the test."""
    found: list[str] = []
    monkeypatch.setattr("sys.unraisablehook", lambda told: found.append(str(told.exc_value)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        yield found
        gc.collect()
    assert found == []


def hurried(server: lab.VCenter) -> Vcenter:
    """A client whose calls may last a second."""
    address = f"{server.address}:{server.port}"
    return Vcenter(address, server.user, server.password, ca=server.cert, call_timeout=1.0)


def test_a_refused_login_leaves_no_connection(server: lab.VCenter, sockets: list[str]) -> None:
    for _ in range(3):
        with pytest.raises(UnsuitableEnvironment, match="is wrong"):
            connect(server, password="wrong")
    with pytest.raises(UnsuitableEnvironment, match="certificate is not trusted"):
        Vcenter(f"{server.address}:{server.port}", server.user, server.password)


def test_a_name_or_password_that_cannot_be_sent_is_unfit(server: lab.VCenter) -> None:
    with pytest.raises(UnsuitableEnvironment, match="cannot be sent as text") as caught:
        connect(server, password="caf\udce9")
    assert "caf" not in str(caught.value)
    with pytest.raises(UnsuitableEnvironment, match="is not allowed"):
        Vcenter("vc..example", server.user, server.password)


def test_a_killed_vcenter_leaves_no_connection(server: lab.VCenter, sockets: list[str]) -> None:
    client = connect(server)
    lost: list[Exception] = []

    def call() -> None:
        try:
            client.instance.CurrentTime()
        except LOST as error:
            lost.append(error)

    calls = [threading.Thread(target=call) for _ in range(4)]
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    for one in calls:
        one.start()
    while client.calls["CurrentTime"] < len(calls):
        time.sleep(0.01)
    server.kill()
    for one in calls:
        one.join()
    assert len(lost) == len(calls)
    with pytest.raises(LOST):
        client.instance.CurrentTime()
    server.start()
    client.reconnect(10)
    assert client.sessions == 2
    client.close()


def test_a_vcenter_that_was_silent_for_a_while_still_knows_the_session(
    server: lab.VCenter, sockets: list[str]
) -> None:
    client = hurried(server)
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            client.instance.CurrentTime()
        with pytest.raises(LaunchFailed, match="does not answer: TimeoutError"):
            client.reconnect(0.5)
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    client.reconnect(10)
    assert client.sessions == 1  # a login on it would be refused
    assert client.instance.CurrentTime()
    server.expire()
    client.reconnect(10)
    assert client.sessions == 2
    client.close()
