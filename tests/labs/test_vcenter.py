"""The lab's vCenter, through the client library that the product uses too."""

from __future__ import annotations

import gc
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import absent
from tests.labs import hosts as lab_hosts
from tests.labs import lab_cleanup
from tests.labs.clone_hosts import clone_hosts
from tests.labs.vcenter import VCenter, missing, vcenter

pytestmark = [pytest.mark.lab, pytest.mark.alone]


_stubs: list[Any] = []


@pytest.fixture(autouse=True)
def _possible() -> Iterator[None]:
    if reason := missing():
        absent(f"the lab's vCenter ({reason})", "make lab")
    yield
    while _stubs:
        _stubs.pop().DropConnections()


class Client:
    """A logged-in client and the few things that these tests ask of it."""

    def __init__(self, server: VCenter) -> None:
        from pyVim.connect import SmartConnect

        context = ssl.create_default_context(cafile=str(server.cert))
        self.instance: Any = SmartConnect(
            host=server.address,
            port=server.port,
            user=server.user,
            pwd=server.password,
            sslContext=context,
        )
        _stubs.append(self.instance._stub)
        self.content: Any = self.instance.RetrieveContent()
        self.pool: Any = self.find("DC0/host/DC0_C0/Resources")

    def find(self, path: str) -> Any:
        return self.content.searchIndex.FindByInventoryPath(path)

    def clone(self, name: str, **spec: Any) -> Any:
        """Start a clone of the template in the cluster's own pool, and return its task."""
        from pyVmomi import vim

        template = self.find("DC0/vm/bench-template")
        where = vim.vm.RelocateSpec(pool=spec.pop("pool", self.pool))
        config = vim.vm.ConfigSpec(**spec.pop("config", {}))
        made = vim.vm.CloneSpec(location=where, config=config, **spec)
        return template.CloneVM_Task(folder=template.parent, name=name, spec=made)


def until(reached: Callable[[], Any], timeout: float = 30.0) -> Any:
    """Wait until something is true and return it."""
    end = time.monotonic() + timeout
    while not (value := reached()):
        assert time.monotonic() < end, "in vain"
        time.sleep(0.02)
    return value


def result(task: Any) -> Any:
    """Wait for a task; raises its fault."""
    until(lambda: task.info.state in ("success", "error"))
    if task.info.error is not None:
        raise task.info.error
    return task.info.result


# the client library's SmartConnect leaves a refused login's connection to the collector
@pytest.mark.filterwarnings("ignore:.*ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
def test_only_its_own_certificate_and_password_are_taken(tmp_path: Path) -> None:
    from pyVim.connect import SmartConnect
    from pyVmomi import vim

    with vcenter(tmp_path) as server:
        assert Client(server).content.about.apiType == "VirtualCenter"
        login = {"host": server.address, "port": server.port, "user": server.user}
        with pytest.raises(ssl.SSLCertVerificationError):
            SmartConnect(**login, pwd=server.password, sslContext=ssl.create_default_context())
        own = ssl.create_default_context(cafile=str(server.cert))
        with pytest.raises(vim.fault.InvalidLogin):
            SmartConnect(**login, pwd="wrong", sslContext=own)
        gc.collect()  # here, not in another test
        command = Path(f"/proc/{server.process.pid}/cmdline") if server.process else tmp_path
        assert server.password.encode() not in command.read_bytes()


def test_a_clone_gets_the_whole_configuration(tmp_path: Path) -> None:
    from pyVmomi import vim

    with vcenter(tmp_path) as server:
        client = Client(server)
        extra = [vim.option.OptionValue(key="guestinfo.owner", value="me")]
        config = {"numCPUs": 4, "memoryMB": 3072, "annotation": "mine", "extraConfig": extra}
        made = result(client.clone("w0", config=config)).config
        assert (made.hardware.numCPU, made.hardware.memoryMB) == (4, 3072)
        assert made.annotation == "mine"
        assert {o.key: o.value for o in made.extraConfig}["guestinfo.owner"] == "me"
        assert server.calls()["CloneVM_Task"] == 1


def test_the_named_clone_fails_and_slow_clones_go_on_side_by_side(tmp_path: Path) -> None:
    from pyVmomi import vim

    settings = {"fail_clones": [2], "clone_delay": 1.0}
    with vcenter(tmp_path, settings=settings) as server:
        client = Client(server)
        tasks = [client.clone(f"w{number}") for number in range(3)]
        assert [task.info.state for task in tasks] == ["running"] * 3
        assert client.find("DC0/vm/bench-template").config.template  # readable meanwhile
        assert result(tasks[0]).name == "w0"
        with pytest.raises(vim.fault.InsufficientResourcesFault):
            result(tasks[1])
        assert result(tasks[2]).name == "w2"
        assert client.find("DC0/vm/w1") is None


def test_addresses_arrive_late_or_never(tmp_path: Path) -> None:
    settings = {"address_delay": 0.5, "no_address": ["w1"]}
    with vcenter(tmp_path, settings=settings) as server:
        client = Client(server)
        late, never = (result(client.clone(name, powerOn=True)) for name in ("w0", "w1"))
        assert late.guest.ipAddress is None
        assert until(lambda: late.guest.ipAddress).startswith("127.1.")
        assert never.guest.ipAddress is None


def test_an_expired_session_logs_in_again(tmp_path: Path) -> None:
    from pyVmomi import vim

    with vcenter(tmp_path) as server:
        client = Client(server)
        server.expire()
        with pytest.raises(vim.fault.NotAuthenticated):
            client.instance.CurrentTime()
        client.content.sessionManager.Login(server.user, server.password)
        assert client.instance.CurrentTime()


def test_a_machine_is_moved_to_another_host(tmp_path: Path) -> None:
    from pyVmomi import vim

    with vcenter(tmp_path) as server:
        client = Client(server)
        made = result(client.clone("w0"))
        before = made.runtime.host
        other = next(host for host in client.pool.owner.host if host != before)
        result(made.RelocateVM_Task(vim.vm.RelocateSpec(host=other)))
        assert made.runtime.host == other
        entity = vim.event.EventFilterSpec.ByEntity(entity=made, recursion="self")
        events = client.content.eventManager.QueryEvents(vim.event.EventFilterSpec(entity=entity))
        moved = [event for event in events if isinstance(event, vim.event.VmMigratedEvent)]
        assert [event.sourceHost.host for event in moved] == [before]


def test_killed_in_mid_clone_it_knows_what_was_complete(tmp_path: Path) -> None:
    from pyVmomi import vim

    with vcenter(tmp_path) as server:
        client = Client(server)
        pool = client.pool.CreateResourcePool("study", client.pool.config)
        client.content.customFieldsManager.AddCustomFieldDef("owner", vim.VirtualMachine)
        first = result(client.clone("w0", pool=pool, config={"numCPUs": 3}, powerOn=True))
        first.setCustomValue("owner", "me")
        address = until(lambda: first.guest.ipAddress)
        state = tmp_path / "state.json"
        until(lambda: all(f'"{text}"' in state.read_text() for text in (address, "me")))
        server.change(clone_delay=60.0)
        tasks = [client.clone(f"w{number}", pool=pool) for number in range(1, 9)]
        assert {task.info.state for task in tasks} == {"running"}
        port = server.port
        server.kill()
        server.start()
        assert server.port == port
        again = Client(server)
        machine = again.find("DC0/vm/w0")
        assert machine.config.hardware.numCPU == 3
        assert machine.runtime.powerState == "poweredOn"
        assert machine.guest.ipAddress == address
        assert machine.resourcePool.name == "study"
        assert [value.value for value in machine.customValue] == ["me"]
        assert again.find("DC0/vm/w1") is None


def test_a_cloned_machine_can_be_logged_in_to(tmp_path: Path) -> None:
    if reason := lab_hosts.missing():
        absent(f"the lab's hosts ({reason})", "make lab")
    ssh = shutil.which("ssh")
    assert ssh is not None
    before = lab_cleanup.names()
    with (
        clone_hosts() as hooks,
        vcenter(tmp_path, power_on=hooks.power_on, power_off=hooks.power_off) as server,
    ):
        client = Client(server)
        made = result(client.clone("w0", powerOn=True))
        address = until(lambda: made.guest.ipAddress)
        login = ["-i", str(hooks.key), "-o", f"UserKnownHostsFile={hooks.known_hosts}"]
        login += ["-o", "BatchMode=yes", "-o", "ConnectTimeout=3", "-F", "/dev/null"]
        argv = [ssh, *login, f"root@{address}", "uname", "-n"]
        said = subprocess.run(argv, capture_output=True, text=True, timeout=30)
        assert said.stdout.startswith("bl"), said.stderr
        result(made.PowerOffVM_Task())
        assert subprocess.run(argv, capture_output=True, timeout=30).returncode == 255
        result(made.Destroy_Task())
        assert client.find("DC0/vm/w0") is None
    assert lab_cleanup.names() == before
