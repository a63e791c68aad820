"""The SSH host keys of fresh clones, as vCenter tells them: never trusted at first sight.

A clone that makes its host keys at its first boot writes the public ones into its own guestinfo
(open-vm-tools: ``vmtoolsd --cmd "info-set guestinfo.benchcast.hostkeys ..."``). We read them over
the connection to vCenter, whose certificate is verified: guest -> hypervisor -> vCenter -> here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from bench.environments.vsphere.client import Vcenter
from bench.environments.vsphere.properties import read
from bench.errors import LaunchFailed

GUESTINFO = "guestinfo.benchcast.hostkeys"
PAUSE = 0.5  # seconds between looks
# Key type and key only: no patterns, markers or comments of a guest's get into known_hosts.
_KEY = re.compile(r"((?:ssh|ecdsa)-[a-z0-9-]+) ([A-Za-z0-9+/]+=*)(?:\s.*)?", re.ASCII)


def lines(text: str) -> bytes:
    """Return lines of a known_hosts file that is for one host alone; empty without a key."""
    found = (_KEY.fullmatch(line.strip()) for line in text.splitlines())
    return b"".join(f"* {key[1]} {key[2]}\n".encode("ascii") for key in found if key)


def fetch(vcenter: Vcenter, vms: Mapping[str, Any], timeout: float) -> dict[str, bytes]:
    """Wait until every VM (name -> VM) has told its keys; LaunchFailed names those without."""
    ends = time.monotonic() + timeout
    while True:
        got = read(vcenter, list(vms.values()), ["config.extraConfig"])
        known = {name: lines(_text(got.get(vm._GetMoId(), {}))) for name, vm in vms.items()}
        late = sorted(name for name, keys in known.items() if not keys)
        if not late:
            return known
        if time.monotonic() >= ends:
            raise LaunchFailed(
                f"no host key of {', '.join(late[:5])} in {GUESTINFO} after {timeout:g} s",
                remedy="have the template write it at its first boot, or say ssh.known_hosts",
            )
        time.sleep(PAUSE)


def _text(properties: Mapping[str, Any]) -> str:
    options = properties.get("config.extraConfig") or ()
    return next((str(one.value) for one in options if one.key == GUESTINFO), "")
