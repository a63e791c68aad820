"""The sampler on machines that are reached by SSH: one a machine, one file of samples here."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.errors import LaunchFailed
from bench.hosts import agent_sampler
from bench.hosts.local_sampling import write_parquet
from bench.hosts.ssh import SshHost, SshProcess, owner_value

_log = logging.getLogger(__name__)


class SshSampler:
    """Samples every machine at the study's rate; it never fails a run.

    Scopes are ``driver`` and ``worker-<rank>`` for marked processes, ``host:<scope>`` for the
    machine that the first of them stands on.
    """

    def __init__(self, hosts: Sequence[SshHost]) -> None:
        """Take a cluster's hosts, the driver first."""
        self._machines: dict[str, list[tuple[str, SshHost]]] = {}
        for rank, host in enumerate(hosts):
            scope = "driver" if rank == 0 else f"worker-{rank - 1}"
            self._machines.setdefault(host.name, []).append((scope, host))
        self._running: list[tuple[str, SshHost, Path, SshProcess]] = []

    def start(self, interval: float) -> None:
        """Send the sampler along and start it on each machine, a sample each ``interval`` s."""
        self._end()
        for places in self._machines.values():
            scope, host = places[0]
            try:
                program = host.put(Path(agent_sampler.__file__), "sampler.py")
                raw = host.folder / "samples.jsonl"
                argv = [host.python, "-I", str(program), "--out", str(raw)]
                argv += ["--interval", f"{interval:g}", "--mark", owner_value(host.owner)]
                for name, one in places:
                    argv += ["--scope", f"{one.index}={name}"]
                process = host.beside("sampler", argv)
            except (OSError, LaunchFailed) as error:
                _log.warning("no samples of host %s: %s", host.name, error)
                continue
            self._running.append((scope, host, raw, process))

    def stop(self, folder: Path) -> None:
        """End all, and write ``samples.parquet`` into ``folder``."""
        running = list(self._running)
        self._end()
        with tempfile.TemporaryDirectory() as made:
            merged = Path(made) / "samples.jsonl"
            lines = [line for one in running for line in self._lines(one, Path(made))]
            merged.write_text("".join(lines), encoding="ascii")
            try:
                write_parquet(merged, folder / "samples.parquet")
            except (OSError, ValueError, ImportError) as error:
                _log.warning("no samples of this run: %s", error)

    def _lines(self, one: tuple[str, SshHost, Path, SshProcess], made: Path) -> list[str]:
        """Return a machine's lines with its scope in the place of ``host``."""
        scope, host, raw, _ = one
        try:
            host.get(raw, made / "raw")
        except (OSError, LaunchFailed) as error:
            _log.warning("no samples of host %s: %s", host.name, error)
            return []
        lines = []
        for line in (made / "raw").read_text(encoding="ascii").splitlines(keepends=True):
            if not line.endswith("\n"):
                continue
            sample = json.loads(line)
            for row in sample["rows"]:
                if row["scope"] == "host":
                    row["scope"] = f"host:{scope}"
            lines.append(json.dumps(sample) + "\n")
        return lines

    def _end(self) -> None:
        running, self._running = self._running, []
        for _, host, _, process in running:
            try:
                process.kill()
            except (OSError, LaunchFailed) as error:
                _log.warning("the sampler of host %s was not ended: %s", host.name, error)
