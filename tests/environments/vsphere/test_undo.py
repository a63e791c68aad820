"""What is taken back in mid-clone is gone for good: also what would have come up later."""

from __future__ import annotations

import gc
import itertools
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from bench.environments.vsphere import capacity, removal, templates
from bench.environments.vsphere import tasks as wait
from bench.environments.vsphere.client import Vcenter, module
from bench.environments.vsphere.cloning import Cloner
from bench.environments.vsphere.provider import Login, VsphereProvider
from bench.errors import LaunchFailed, UnsuitableEnvironment
from tests.environments.vsphere.contract_cases import OWNER, SHAPE, connect, names, recipe
from tests.labs import vcenter as lab

pytestmark = pytest.mark.lab
DELAY = 2.0  # seconds that a clone takes here


def stays_gone(client: Vcenter, before: set[str]) -> None:
    """Nothing of ours is there, nor comes up when the clones would have been made."""
    assert names(client) == before
    time.sleep(DELAY + 0.5)
    assert names(client) == before
    assert removal.owned(client, 10) == []


def test_a_clone_timeout_in_mid_clone_leaves_nothing(server: lab.VCenter, client: Vcenter) -> None:
    before = names(client)
    server.change(clone_delay=DELAY)
    with pytest.raises(LaunchFailed, match="not done in"):
        Cloner(client, recipe(clone_timeout=0.5)).acquire([SHAPE] * 3, OWNER)
    stays_gone(client, before)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # pyvmomi drops the interrupted socket
def test_ctrl_c_in_mid_clone_leaves_nothing(server: lab.VCenter, client: Vcenter) -> None:
    before = names(client)
    server.change(clone_delay=DELAY)
    ident = threading.main_thread().ident
    assert ident is not None

    def interrupt() -> None:
        while server.calls().get("CloneVM_Task", 0) < 3:
            time.sleep(0.02)
        time.sleep(0.3)
        signal.pthread_kill(ident, signal.SIGINT)

    other = threading.Thread(target=interrupt)
    other.start()
    with pytest.raises(KeyboardInterrupt):
        Cloner(client, recipe()).acquire([SHAPE] * 3, OWNER)
    other.join()
    stays_gone(client, before)
    gc.collect()


def test_a_clone_that_is_refused_takes_those_under_way_with_it(
    server: lab.VCenter, client: Vcenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = names(client)
    server.change(clone_delay=DELAY)
    clone, count = templates.clone, itertools.count(1)

    def third(*given: Any) -> Any:
        if next(count) == 3:
            raise module().vim.fault.InsufficientResourcesFault(msg="full")
        return clone(*given)

    monkeypatch.setattr(templates, "clone", third)
    with pytest.raises(LaunchFailed, match="InsufficientResourcesFault"):
        Cloner(client, recipe()).acquire([SHAPE] * 3, OWNER)
    stays_gone(client, before)


class Task:
    """A task as a vCenter tells of it."""

    def __init__(self, name: str, state: str, *, cancelable: bool, fault: Any = None) -> None:
        self.info = module().vim.TaskInfo(state=state, cancelable=cancelable)
        self.name, self.fault, self.cancelled = name, fault, False

    def _GetMoId(self) -> str:
        return self.name

    def CancelTask(self) -> None:
        self.cancelled = True
        if self.fault is not None:
            raise self.fault


def test_what_can_be_cancelled_is_and_all_that_runs_is_waited_for(
    client: Vcenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[str] = []

    def tasks(vcenter: Vcenter, wanted: Mapping[str, Any], timeout: float) -> dict[str, wait.Done]:
        waited.extend(wanted)
        return {}

    monkeypatch.setattr(wait, "tasks", tasks)
    begun = [
        Task("a", "running", cancelable=True),
        Task("b", "running", cancelable=False),
        Task("c", "success", cancelable=True),
        Task("d", "queued", cancelable=True, fault=module().vim.fault.InvalidState()),
        Task("e", "running", cancelable=True, fault=module().vim.fault.NoPermission()),
    ]
    removal.settle(client, begun, 1)
    assert [one.name for one in begun if one.cancelled] == ["a", "d", "e"]
    assert waited == ["a", "b", "d", "e"]


def provider(client: Vcenter) -> VsphereProvider:
    login = Login(user="root")
    return VsphereProvider(lambda: client, recipe(), login, system=0, driverless=frozenset())


@pytest.mark.parametrize("error", [ConnectionResetError("gone"), "NoPermission"])
@pytest.mark.parametrize("where", [(capacity, "hypervisors"), (removal, "owned")])
def test_a_vcenter_that_is_lost_or_refuses_is_said_and_what_was_cloned_is_undone(
    client: Vcenter,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception | str,
    where: tuple[Any, str],
) -> None:
    before = names(client)
    raised = error if isinstance(error, Exception) else getattr(module().vim.fault, error)()

    def fails(*_: Any, **__: Any) -> Sequence[str]:
        raise raised

    with monkeypatch.context() as patched:
        patched.setattr(*where, fails)
        said = "does not answer" if isinstance(error, Exception) else "refuses: NoPermission"
        if where[1] == "owned":
            assert provider(client).owned() == []
            assert said in caplog.text
        else:
            with pytest.raises(LaunchFailed, match=said):
                provider(client)._new([SHAPE], OWNER)
    assert names(client) == before


def test_leftovers_of_a_vcenter_that_cannot_be_asked_are_warned_of(
    server: lab.VCenter, caplog: pytest.LogCaptureFixture
) -> None:
    def unfit() -> Vcenter:
        raise UnsuitableEnvironment("user and password are missing")

    login = Login(user="root")
    for number, ask in enumerate((unfit, lambda: connect(server, password="wrong")), 1):
        there = VsphereProvider(ask, recipe(), login, system=0, driverless=frozenset())
        assert there.owned() == []
        assert caplog.text.count("cannot look for leftovers") == number
    assert "user and password are missing" in caplog.text
