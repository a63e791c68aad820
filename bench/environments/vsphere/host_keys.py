"""The SSH host keys of new clones, read through vCenter: none is trusted on first use.

A clone makes host keys at its first boot and writes the public ones into its own guestinfo
(open-vm-tools: ``vmtoolsd --cmd "info-set guestinfo.benchcast.hostkeys ..."``). Benchcast reads
them over the connection to vCenter, whose certificate it verifies.
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
PAUSE = 0.5  # seconds between two reads
# Key type and key only: a guest's patterns, markers or comments must not reach known_hosts.
_KEY = re.compile(r"((?:ssh|ecdsa)-[a-z0-9-]+) ([A-Za-z0-9+/]+=*)(?:\s.*)?", re.ASCII)


def lines(text: str) -> bytes:
    """Return the lines of a known_hosts file for one host; empty without a key."""
    matches = (_KEY.fullmatch(line.strip()) for line in text.splitlines())
    return b"".join(f"* {key[1]} {key[2]}\n".encode("ascii") for key in matches if key)


def fetch(vcenter: Vcenter, vms: Mapping[str, Any], timeout: float) -> dict[str, bytes]:
    """Wait for every VM's keys (by name); LaunchFailed names VMs without."""
    ends = time.monotonic() + timeout
    while True:
        properties = read(vcenter, list(vms.values()), ["config.extraConfig"])
        host_keys = {
            name: lines(_text(properties.get(vm._GetMoId(), {}))) for name, vm in vms.items()
        }
        late = sorted(name for name, keys in host_keys.items() if not keys)
        if not late:
            return host_keys
        if time.monotonic() >= ends:
            raise LaunchFailed(
                f"no host key of {', '.join(late[:5])} in {GUESTINFO} after {timeout:g} s",
                remedy="let the template write it at its first boot, or set ssh.known_hosts",
            )
        time.sleep(PAUSE)


def _text(properties: Mapping[str, Any]) -> str:
    options = properties.get("config.extraConfig") or ()
    return next((str(option.value) for option in options if option.key == GUESTINFO), "")
