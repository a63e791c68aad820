"""Sixty-four machines cloned, powered on, found and destroyed on the lab's vCenter."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.environments.vsphere.client import Vcenter
from bench.environments.vsphere.cloning import Cloner
from bench.environments.vsphere.recipe import Recipe
from bench.environments.vsphere.removal import owned
from bench.records.cluster import Owner
from bench.records.study import Shape
from tests.labs.vcenter import VCenter, missing

OWNER = Owner(study="s", session="260101-000000000-00aa", cluster="c1")
RECIPE = Recipe(datacenter="DC0", cluster="DC0_C0", template="bench-golden")


class Clones:
    """Wall time of one life of 64 linked clones; the target is 60 s."""

    timeout = 300.0
    number = 1
    repeat = 3

    def setup(self) -> None:
        """Start the simulator; without it there is nothing to measure."""
        if (reason := missing()) is not None:
            raise NotImplementedError(reason)
        self.folder = tempfile.TemporaryDirectory()
        self.server = VCenter(Path(self.folder.name), hosts=8)
        self.server.start()
        address = f"{self.server.address}:{self.server.port}"
        user, password = self.server.user, self.server.password
        self.vcenter = Vcenter(address, user, password, ca=self.server.cert)

    def teardown(self) -> None:
        """Stop it."""
        if hasattr(self, "server"):
            self.vcenter.close()
            self.server.stop()
            self.folder.cleanup()

    def time_life_of_64(self) -> None:
        """Clone, power on, wait for addresses, find by mark, destroy."""
        cloner = Cloner(self.vcenter, RECIPE)
        machines = cloner.acquire([Shape(cores=1, memory=512 << 20)] * 64, OWNER)
        (left,) = owned(self.vcenter, 60.0)
        assert len({one.address for one in machines}) == 64
        assert left.text.startswith("64 VMs")
        left.remove()
        assert not owned(self.vcenter, 60.0)

    def track_calls_for_64(self) -> int:
        """Count the calls of that life."""
        self.vcenter.calls.clear()
        self.time_life_of_64()
        return sum(self.vcenter.calls.values())
