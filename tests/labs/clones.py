"""A vSphere cluster of the lab whose clones can be worked on, and studies over it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.labs.clone_hosts import CloneHosts, clone_hosts
from tests.labs.study_folder import StudyFolder
from tests.labs.vcenter import VCenter, vcenter


@dataclass(frozen=True, kw_only=True)
class Site(StudyFolder):
    """A vCenter, the hooks for machines inside it, and a folder for studies and results."""

    server: VCenter
    hooks: CloneHosts

    def settings(self, **changed: object) -> dict[str, object]:
        """What a study says of this vCenter; ``ssh_*`` changes a key of ``ssh``."""
        ssh = {"user": "root", "key": str(self.hooks.key), "python": sys.executable}
        known: dict[str, object] = {
            "vcenter": f"{self.server.address}:{self.server.port}",
            "user": self.server.user,
            "password": {"file": str(self.folder / "password")},
            "ca": str(self.server.cert),
            "datacenter": "DC0",
            "cluster": "DC0_C0",
            "template": "bench-golden",
            "clone_timeout": "60 s",
            "address_timeout": "60 s",
            "ssh": ssh,
        }
        for key, value in changed.items():
            table, _, below = key.partition("_")
            if table == "ssh" and below:
                ssh[below] = str(value)
            else:
                known[key] = value
        return known

    def study(
        self, text: str, name: str = "clones", settings: Mapping[str, object] | None = None
    ) -> Path:
        """Write a study whose last entry is this vCenter as an environment."""
        keys = {"kind": "vsphere", "name": "dc0", **(settings or self.settings())}
        return self.write(text, keys, name)


@contextlib.contextmanager
def site(
    folder: Path, *, hosts: int = 3, settings: Mapping[str, object] | None = None
) -> Iterator[Site]:
    """Run a vCenter whose clones become hosts; afterwards none of them is left."""
    place = folder / "site"
    place.mkdir()
    with (
        clone_hosts() as hooks,
        vcenter(
            place,
            hosts=hosts,
            power_on=hooks.power_on,
            power_off=hooks.power_off,
            settings=settings,
        ) as server,
    ):
        secret = folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(server.password + "\n")
        yield Site(server=server, hooks=hooks, folder=folder)
