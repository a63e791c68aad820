"""Hosts of the lab: network namespaces with an address, a name, an sshd and limits of their own.

``with lab(3) as hosts`` brings three up, joined by a bridge in a namespace of its own.
``python -m tests.labs.hosts`` installs what they need (Debian, as root: ``make lab``), and
``python -m tests.labs.hosts down`` removes what dead labs left. See README.md.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.labs import lab_cleanup, unavailable
from tests.labs.lab_cleanup import ROOT, LabTag, ip

PACKAGES = {"sshd": "openssh-server", "ip": "iproute2", "tc": "iproute2", "openssl": "openssl"}
SSHD = """\
Port 22
ListenAddress {address}
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/authorized_keys
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
SetEnv HOME={folder}/home TMPDIR={folder}/work SPARK_LOCAL_IP={address}
"""


@dataclass(frozen=True, kw_only=True)
class LabHost:
    """One host: log in as ``user`` with ``key`` to ``address``, whose key is in ``known_hosts``."""

    name: str
    address: str
    folder: Path
    key: Path
    known_hosts: Path
    groups: tuple[Path, ...]
    user: str = "root"
    port: int = 22

    @property
    def home(self) -> Path:
        """Its HOME, in the file system that all share."""
        return self.folder / "home"

    @property
    def work(self) -> Path:
        """Its TMPDIR and work folder: a file system of its own if the lab has a size for it."""
        return self.folder / "work"

    def ssh(self, *argv: str, timeout: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Run a command there with the ssh client, host key checked."""
        options = ["-i", str(self.key), "-o", f"UserKnownHostsFile={self.known_hosts}"]
        options += ["-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"]
        options += ["-o", "ConnectTimeout=5", "-o", "IdentitiesOnly=yes", "-F", "/dev/null"]
        argv = ("ssh", *options, f"{self.user}@{self.address}", *argv)
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout)

    def throttled(self) -> int:
        """Return in how many periods its CPU limit held it back."""
        lines = [
            line
            for group in self.groups
            if (group / "cpu.stat").exists()
            for line in (group / "cpu.stat").read_text().splitlines()
        ]
        return next(int(line.split()[1]) for line in lines if line.startswith("nr_throttled"))

    def kill(self) -> None:
        """Fail as a machine that loses its power: the link down, every process killed."""
        ip("-n", self.name, "link", "set", "eth0", "down")
        lab_cleanup.kill_group(self.groups)

    def hang(self) -> None:
        """Stop its sshd (SIGSTOP): connections are taken by the kernel and never answered."""
        for pid in self._sshd():
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a hung sshd go on."""
        for pid in self._sshd():
            os.kill(pid, signal.SIGCONT)

    def refuse(self) -> None:
        """Accept no key any more."""
        (self.folder / "authorized_keys").write_text("")

    def fill(self) -> None:
        """Fill the disk of its work folder (the lab must have been told its size)."""
        if not os.path.ismount(self.work):
            raise ValueError(f"{self.work} is not a file system of its own: say lab(disk_mb=...)")
        with contextlib.suppress(OSError), (self.work / "full").open("wb") as file:
            while True:
                file.write(bytes(1 << 20))

    def _sshd(self) -> list[int]:
        return [
            p for p in lab_cleanup.members(self.groups) if lab_cleanup.command(p).startswith("sshd")
        ]


def missing() -> str | None:
    """Return why there can be no hosts here, or None."""
    if os.getuid() != 0:
        return "hosts in network namespaces need root"
    absent = [name for name in ("sshd", "ip", "tc") if _which(name) is None]
    if absent:
        return f"{', '.join(absent)} not installed"
    tried = f"{lab_cleanup.PREFIX}try{secrets.token_hex(2)}"
    made = subprocess.run(["ip", "netns", "add", tried], capture_output=True, text=True)
    if made.returncode:
        return f"no network namespaces here: {made.stderr.strip()}"
    ip("netns", "del", tried)
    return None if lab_cleanup.controllers() else "no control groups may be made here"


@contextlib.contextmanager
def lab(
    count: int,
    *,
    cores: float | Sequence[float | None] | None = None,
    memory_mb: int | None = None,
    mbit: float | None = None,
    disk_mb: int | None = None,
) -> Iterator[list[LabHost]]:
    """Run ``count`` hosts for the length of a ``with``; afterwards nothing of them is left.

    ``cores``: CPU time a second of each (one number, or one a host: uneven hosts); ``memory_mb``;
    ``mbit``: bandwidth of each link and direction; ``disk_mb``: size of each work folder.
    """
    limits = list(cores) if isinstance(cores, Sequence) else [cores] * count
    tag = LabTag.new()
    try:
        connect(tag)
        yield [
            add(
                tag,
                number + 1,
                cores=limits[number],
                memory_mb=memory_mb,
                mbit=mbit,
                disk_mb=disk_mb,
            )
            for number in range(count)
        ]
    finally:
        tag.remove()


def connect(tag: LabTag) -> None:
    """Make a lab's bridge, the address of this machine on it, and the client's key."""
    switch = f"{tag.name}sw"
    ip("netns", "add", switch)
    ip("-n", switch, "link", "add", "br0", "type", "bridge")
    ip("-n", switch, "link", "set", "br0", "up")
    ip("link", "add", f"{tag.name}c", "type", "veth", "peer", "name", "ctl", "netns", switch)
    ip("-n", switch, "link", "set", "ctl", "master", "br0", "up")
    ip("addr", "add", f"{tag.subnet}.254/24", "dev", f"{tag.name}c")
    ip("link", "set", f"{tag.name}c", "up")
    _keygen(tag.folder / "key")


def add(
    tag: LabTag,
    number: int,
    *,
    cores: float | None = None,
    memory_mb: int | None = None,
    mbit: float | None = None,
    disk_mb: int | None = None,
) -> LabHost:
    """Bring one host up (1 to 253) and wait until it listens."""
    host = _host(tag, number, cores, memory_mb, disk_mb)
    _join(host, f"{tag.name}sw", number, mbit)
    _trust(tag, host)
    _serve(host)
    return host


def _which(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _host(
    tag: LabTag, number: int, cores: float | None, memory_mb: int | None, disk_mb: int | None
) -> LabHost:
    name = f"{tag.name}h{number}"
    folder = tag.folder / name
    for part in ("home", "work"):
        (folder / part).mkdir(parents=True)
    if disk_mb is not None:
        size = ["-o", f"size={disk_mb}m", "tmpfs", str(folder / "work")]
        subprocess.run(["mount", "-t", "tmpfs", *size], check=True, capture_output=True)
    return LabHost(
        name=name,
        address=f"{tag.subnet}.{number}",
        folder=folder,
        key=tag.folder / "key",
        known_hosts=tag.folder / "known_hosts",
        groups=lab_cleanup.make_group(name, cores, memory_mb),
    )


def _join(host: LabHost, switch: str, number: int, mbit: float | None) -> None:
    port = f"p{number}"
    ip("netns", "add", host.name)
    veth = ["type", "veth", "peer", "name", "eth0", "netns", host.name]
    ip("-n", switch, "link", "add", port, *veth)
    ip("-n", switch, "link", "set", port, "master", "br0", "up")
    for link in ("lo", "eth0"):
        ip("-n", host.name, "link", "set", link, "up")
    ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", "eth0")
    if mbit is not None:
        for space, link in ((host.name, "eth0"), (switch, port)):
            shape = ["rate", f"{mbit}mbit", "burst", "64kb", "latency", "50ms"]
            tc = ["tc", "-n", space, "qdisc", "add", "dev", link, "root", "tbf", *shape]
            subprocess.run(tc, check=True, capture_output=True)


def _keygen(path: Path) -> str:
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(path)]
    subprocess.run(argv, check=True, capture_output=True)
    kind, key, *_ = path.with_suffix(".pub").read_text().split()
    return f"{kind} {key}"


def _trust(tag: LabTag, host: LabHost) -> None:
    """Make the host's own key, let the client in, and add the host to known_hosts."""
    with host.known_hosts.open("a") as known:
        known.write(f"{host.address} {_keygen(host.folder / 'host_key')}\n")
    client = (tag.folder / "key.pub").read_text()
    (host.folder / "authorized_keys").write_text(client)
    config = SSHD.format(address=host.address, folder=host.folder)
    (host.folder / "sshd_config").write_text(config)


def _serve(host: LabHost, timeout: float = 20.0) -> None:
    """Start its sshd inside its control group, its name and its network; wait for its port."""
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    joins = "".join(f"echo $$ > {group}/cgroup.procs; " for group in host.groups)
    sshd = f"exec {_which('sshd')} -D -e -f {host.folder}/sshd_config"
    inner = f"set -e; {joins}hostname {host.name}; {sshd}"
    # not `ip netns exec`: it hides the control groups behind a /sys of its own
    enter = ["nsenter", f"--net=/run/netns/{host.name}", "unshare", "--uts", "/bin/sh", "-c", inner]
    with (host.folder / "sshd.log").open("ab") as log:
        process = subprocess.Popen(
            enter,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    end = time.monotonic() + timeout
    while "listening" not in (host.folder / "sshd.log").read_text():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"sshd: {(host.folder / 'sshd.log').read_text()[-500:]}")
        time.sleep(0.02)
    lab_cleanup.adopt(process)


def install() -> str | None:
    """Install Debian's packages where they are missing; return what could not be, or None."""
    wanted = sorted({package for name, package in PACKAGES.items() if _which(name) is None})
    if wanted and (os.getuid() != 0 or _which("apt-get") is None):
        return f"hosts: install {', '.join(wanted)} by hand (no apt-get, or not root)"
    if wanted:
        apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        more = ["install", "-y", "--no-install-recommends", *wanted]
        for argv in ([*apt, "update"], [*apt, *more]):
            if subprocess.run(argv, env=quiet, stdout=subprocess.DEVNULL).returncode:
                return f"hosts: {' '.join(argv)} failed"
    problem = missing()
    return f"hosts: {problem}" if problem else None


def impossible() -> str | None:
    """Return why this machine cannot host them; None where it can, or an install only failed."""
    absent = [name for name in PACKAGES if _which(name) is None]
    if os.getuid() != 0 or not absent:
        return missing()
    apt = _which("apt-get") is not None
    return None if apt else f"{', '.join(absent)} not installed, and no apt-get"


def main(argv: Sequence[str]) -> int:
    """Install, or with ``down`` remove what dead labs left."""
    if list(argv) == ["down"]:
        for name in lab_cleanup.sweep():
            print(f"lab: removed {name}")
        return 0
    problem = install()
    unavailable.tell(unavailable.HOSTS, impossible())
    print(f"lab: without {problem}" if problem else f"lab: hosts are ready to be made ({ROOT})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
