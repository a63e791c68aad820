"""The lab's vCenter for each test of vSphere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.environments.vsphere.client import Vcenter
from tests.conftest import absent
from tests.environments.vsphere.contract_cases import connect
from tests.labs import vcenter as lab


@pytest.fixture(autouse=True)
def _possible() -> None:
    if reason := lab.missing():
        absent(f"the lab's vCenter ({reason})", "make lab")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[lab.VCenter]:
    with lab.vcenter(tmp_path) as running:
        yield running


@pytest.fixture
def client(server: lab.VCenter) -> Iterator[Vcenter]:
    connected = connect(server)
    yield connected
    connected.close()
