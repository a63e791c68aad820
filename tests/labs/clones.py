"""A vSphere cluster of the lab whose clones can be worked on, and studies over it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.labs.guests import REPOSITORY, Guests, guests
from tests.labs.vcenter import VCenter, vcenter

QUICK = """
name   = "quick"
task   = "quick/1"
engine = "tensorflow"
entry  = "main.py"
stages = ["train"]
[params.seconds]
type    = "float"
default = 0.0
[quality.float64]
objective = 1e-6
"""
MAIN = """
import json, os, time
from _common.emitter import Report
report = Report.read()
report.ready(workers=len(json.loads(os.environ["TF_CONFIG"])["cluster"]["worker"]))
for number in report.passes():
    with report.stage("train"):
        time.sleep(report.params["seconds"])
report.quality(objective=0.5)
report.end()
"""


@dataclass(frozen=True, kw_only=True)
class Site:
    """A vCenter, the machines inside it, and a folder for studies and results."""

    server: VCenter
    inside: Guests
    folder: Path

    def settings(self, **changed: object) -> dict[str, object]:
        """What a study says of this vCenter; ``ssh_*`` changes a key of ``ssh``."""
        ssh = {"user": "root", "key": str(self.inside.key), "python": sys.executable}
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
        lines = [f"{key} = {toml(value)}" for key, value in keys.items()]
        path = self.folder / f"{name}.toml"
        path.write_text("\n".join([text, "[[environment]]", *lines, ""]))
        return path

    def quick(self) -> None:
        """Put a workload ``./quick`` beside the studies that needs no engine's own program."""
        folder = self.folder / "quick"
        folder.mkdir(exist_ok=True)
        (folder / "workload.toml").write_text(QUICK)
        (folder / "main.py").write_text(MAIN)

    def popen(self, *argv: str) -> subprocess.Popen[str]:
        """Start ``benchcast`` in the folder."""
        return subprocess.Popen(
            [sys.executable, "-m", "bench", *argv],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def benchcast(self, *argv: str, timeout: float = 280.0) -> tuple[int, str, str]:
        """Run ``benchcast`` in the folder; return exit code, output and errors."""
        with self.popen(*argv) as process:
            try:
                out, errors = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        return process.returncode, out, errors


def toml(value: object) -> str:
    """Return a value as TOML writes it in a line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(one) for one in value) + "]"
    return json.dumps(value)


@contextlib.contextmanager
def site(
    folder: Path, *, hosts: int = 3, settings: Mapping[str, object] | None = None
) -> Iterator[Site]:
    """Run a vCenter whose clones become hosts; afterwards none of them is left."""
    place = folder / "site"
    place.mkdir()
    with (
        guests() as inside,
        vcenter(
            place,
            hosts=hosts,
            power_on=inside.power_on,
            power_off=inside.power_off,
            settings=settings,
        ) as server,
    ):
        secret = folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(server.password + "\n")
        yield Site(server=server, inside=inside, folder=folder)
