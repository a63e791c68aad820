"""What clones get beside cores and memory: vGPUs, and a customization of the guest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.environments.vsphere import checks, customization, templates, vgpus
from bench.environments.vsphere.capacity import survey
from bench.environments.vsphere.client import Vcenter, module
from bench.environments.vsphere.cloning import Cloner
from bench.environments.vsphere.recipe import Recipe
from bench.errors import LaunchFailed, UnsuitableEnvironment
from bench.records.study import Shape
from tests.environments.vsphere.contract_cases import OWNER, SHAPE, called, connect, names, recipe
from tests.labs import vcenter as lab

pytestmark = pytest.mark.lab
A100 = "grid_a100-40c"
TWO = msgspec.structs.replace(SHAPE, gpus=2, gpu=A100)
OFFERED = {"DC0_C0_H1": [A100, "grid_a100-20c"], "DC0_C0_H2": [A100]}


@pytest.fixture
def equipped(tmp_path: Path) -> Iterator[Vcenter]:
    """A vCenter two of whose hosts offer vGPUs."""
    with lab.vcenter(tmp_path, settings={"gpus": OFFERED}) as server:
        client = connect(server)
        yield client
        client.close()


def test_each_gpu_is_a_device_and_its_host_offers_it(equipped: Vcenter) -> None:
    cloner = Cloner(equipped, recipe())
    machines = cloner.acquire([TWO, SHAPE, TWO], OWNER)
    had = vgpus.present(equipped, [one.vm for one in machines])
    assert [dict(had[one.vm._GetMoId()]) for one in machines] == [{A100: 2}, {}, {A100: 2}]
    assert {machines[n].vm.runtime.host.name for n in (0, 2)} <= set(OFFERED)
    assert "ReconfigVM_Task" not in equipped.calls
    cloner.release(called(machines), OWNER)
    only = recipe(hosts=("DC0_C0_H0", "DC0_C0_H2"))
    machines = Cloner(equipped, only).acquire([TWO] * 2, OWNER)
    assert {one.vm.runtime.host.name for one in machines} == {"DC0_C0_H2"}
    cloner.release(called(machines), OWNER)


def test_a_gpu_that_the_clone_did_not_get_is_added(
    equipped: Vcenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = templates.clone

    def without(found: Any, how: Recipe, name: str, where: Any, config: Any, guest: Any) -> Any:
        config.deviceChange = config.deviceChange[:1]
        return clone(found, how, name, where, config, guest)

    monkeypatch.setattr(templates, "clone", without)
    cloner = Cloner(equipped, recipe())
    (one,) = cloner.acquire([TWO], OWNER)
    assert vgpus.present(equipped, [one.vm])[one.vm._GetMoId()] == {A100: 2}
    assert equipped.calls["ReconfigVM_Task"] == 1
    cloner.release([one.name], OWNER)


def test_a_gpu_of_the_templates_own_is_too_many(equipped: Vcenter) -> None:
    golden = equipped.find("DC0/vm/bench-golden", "VM")
    spec = module().vim.VirtualMachineConfigSpec(**vgpus.added(TWO))
    golden.Reconfigure(spec)
    before = names(equipped)
    with pytest.raises(LaunchFailed, match=r"has 3 vGPUs 'grid_a100-40c', not 1"):
        Cloner(equipped, recipe()).acquire([msgspec.structs.replace(TWO, gpus=1)], OWNER)
    assert names(equipped) == before


def test_a_profile_that_no_host_offers_is_said(equipped: Vcenter) -> None:
    before = names(equipped)
    none = msgspec.structs.replace(TWO, gpu="grid_h100-80c")
    met = survey(equipped, recipe())
    assert checks.check(met, recipe(), [TWO]) == []
    (found,) = checks.check(met, recipe(), [none])
    assert (found.severity, found.scope) == ("error", "cell")
    assert "worker.gpu = 'grid_h100-80c': no host of the cluster 'DC0_C0' offers" in found.what
    assert found.remedy == f"offered there: grid_a100-20c, {A100}"
    with pytest.raises(UnsuitableEnvironment, match="no host of the cluster 'DC0_C0' offers"):
        Cloner(equipped, recipe()).acquire([none], OWNER)
    assert names(equipped) == before


def test_a_guest_is_customized_by_a_specification_of_the_vcenter(client: Vcenter) -> None:
    cloner = Cloner(client, recipe(customize="vcsim-linux-static"))
    machines = cloner.acquire([SHAPE] * 2, OWNER)
    host_names = [one.vm.guest.hostName for one in machines]
    assert all(name.startswith("vcsim-") for name in host_names)
    assert len(set(host_names)) == 2
    cloner.release(called(machines), OWNER)


def test_a_specification_that_is_missing_or_fails_is_said(client: Vcenter) -> None:
    before = names(client)
    with pytest.raises(
        UnsuitableEnvironment, match="no customization specification 'mine'"
    ) as caught:
        survey(client, recipe(customize="mine"))
    assert "it has: vcsim-linux, vcsim-linux-static" in caught.value.remedy
    with pytest.raises(LaunchFailed, match="NicSettingMismatch"):
        Cloner(client, recipe(customize=_of_two_adapters(client))).acquire([SHAPE], OWNER)
    assert names(client) == before


def test_a_customization_that_never_ends_is_named(
    client: Vcenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(customization, "_DONE", "NoSuchEvent")
    before = names(client)
    late = recipe(customize="vcsim-linux", ip_timeout=1.0)
    with pytest.raises(LaunchFailed, match=r"-0 was not customized in 1 s"):
        Cloner(client, late).acquire([SHAPE], OWNER)
    assert names(client) == before


def _of_two_adapters(client: Vcenter) -> str:
    """Keep a specification for another number of network adapters than the clones have."""
    manager = client.content.customizationSpecManager
    item = manager.GetCustomizationSpec("vcsim-linux")
    item.info.name = "two"
    item.spec.nicSettingMap = [*item.spec.nicSettingMap, *item.spec.nicSettingMap]
    manager.CreateCustomizationSpec(item)
    return "two"


def test_without_gpus_a_shape_has_none() -> None:
    assert vgpus.wanted(SHAPE) is None
    assert vgpus.added(Shape()) == {}
