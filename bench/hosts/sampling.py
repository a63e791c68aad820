"""The samplers as metric sources: one on each machine of a cluster, one file of samples here.

``samples.parquet`` holds the machines and the labelled processes, ``gpu.parquet`` the GPUs.
Neither ever fails a run: problems are reported, and the samples are missing.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import LaunchFailed
from bench.hosts.agent import gpu_sampler, sampler
from bench.hosts.host import Host, Process

COLUMNS = (  # double, null where not applicable
    "cpu_user",
    "cpu_system",
    "cpu_iowait",
    "cpu_steal",
    "cpu_others",
    "memory_used",
    "disk_read",
    "disk_write",
    "net_rx",
    "net_tx",
    "throttled",
    "throttled_periods",
    "running",
    "load",
    "clock",
    "clock_low",
)
GPU_COLUMNS = tuple(gpu_sampler.METRICS)
STARTING = 5.0  # seconds that a sampler may take until its first line
_log = logging.getLogger(__name__)


class _Running(NamedTuple):
    """A sampler on a machine, with the scope of its first host and its output file."""

    scope: str
    host: Host
    raw: Path
    process: Process


class Sampler:
    """Runs one script on every machine at the study's rate, beside the work.

    Scopes are ``driver`` and ``worker-<rank>`` for labelled processes. With several machines, the
    scopes of a machine itself (``host``, ``gpu0``) end with its first host: ``host:driver``.
    """

    name: str  # of the file
    script: str
    columns: tuple[str, ...]
    texts: tuple[str, ...] = ()

    def __init__(self, hosts: Sequence[Host]) -> None:
        """Take a cluster's hosts, the driver first."""
        self._machines: dict[str, list[tuple[str, Host]]] = {}
        for rank, host in enumerate(hosts):
            scope = "driver" if rank == 0 else f"worker-{rank - 1}"
            if self._applies(host):
                self._machines.setdefault(host.name, []).append((scope, host))
        self.scopes = {scope for scoped in self._machines.values() for scope, _ in scoped}
        self._numbers = itertools.count(1)
        self._running: list[_Running] = []

    def _applies(self, host: Host) -> bool:
        """Return whether the sampler applies to a host's machine."""
        return True

    def start(self, interval: float) -> None:
        """Restart it on each machine, with a sample every ``interval`` seconds."""
        self._end()
        for scoped in self._machines.values():
            scope, host = scoped[0]
            try:
                program = host.put(Path(self.script), f"{self.name}.py")
                raw = host.folder / f"{self.name}.{next(self._numbers)}.jsonl"
                process = host.beside(self.name, self._command(program, raw, interval, scoped))
            except (OSError, LaunchFailed) as error:
                _report(f"no {self.name} of host {host.name}: {error}")
                continue
            self._running.append(_Running(scope, host, raw, process))

    def stop(self, folder: Path) -> None:
        """End the scripts and write ``<name>.parquet`` into ``folder``."""
        running = list(self._running)
        self._end()
        if not running:
            return
        with tempfile.TemporaryDirectory() as temporary:
            merged = Path(temporary) / "merged"
            raw = Path(temporary) / "raw"
            lines = [line for script in running for line in self._lines(script, raw)]
            merged.write_text("".join(lines), encoding="ascii")
            target = folder / f"{self.name}.parquet"
            try:
                write_parquet(merged, target, self.columns, self.texts)
            except (OSError, ValueError, ImportError) as error:  # pyarrow's errors are ValueErrors
                _report(f"no {self.name} of a run: {error}")

    def _command(
        self, program: Path, raw: Path, interval: float, scoped: Sequence[tuple[str, Host]]
    ) -> list[str]:
        """Return the command that runs the script on a machine."""
        host = scoped[0][1]
        command = [host.python, "-I", str(program), "--out", str(raw)]
        command += ["--interval", f"{interval:g}"]
        harness = host.channel.harness
        return command if harness is None else [*command, "--until", str(harness)]

    def _lines(self, script: _Running, here: Path) -> list[str]:
        """Return a machine's complete lines."""
        try:
            script.host.get(script.raw, here)
        except (OSError, LaunchFailed) as error:
            _report(f"no {self.name} of host {script.host.name}: {error}")
            return []
        samples = list(_samples(here))
        if len(self._machines) > 1:
            for row in (row for sample in samples for row in sample.get("rows", ())):
                if row["scope"] not in self.scopes:
                    row["scope"] += f":{script.scope}"
        return [json.dumps(sample) + "\n" for sample in samples]

    def _end(self) -> None:
        running, self._running = self._running, []
        for script in running:
            try:
                _until_begun(script)
                script.process.kill()
            except (OSError, LaunchFailed) as error:
                _report(f"the sampler of host {script.host.name} could not be ended: {error}")


class HostSampler(Sampler):
    """Samples machines and labelled processes into ``samples.parquet``."""

    name = "samples"
    script = sampler.__file__
    columns = COLUMNS

    def _command(
        self, program: Path, raw: Path, interval: float, scoped: Sequence[tuple[str, Host]]
    ) -> list[str]:
        command = super()._command(program, raw, interval, scoped)
        first = scoped[0][1]
        command += ["--owner", first.owner.text]
        for pid in first.channel.own_processes:
            command += ["--own", str(pid)]
        for scope, host in scoped:
            command += ["--scope", f"{host.index}={scope}"]
        return command


class GpuSampler(Sampler):
    """Samples NVIDIA GPUs into ``gpu.parquet``; the hosts' Python needs the extra ``gpu``."""

    name = "gpu"
    script = gpu_sampler.__file__
    columns = GPU_COLUMNS
    texts = ("throttle",)

    def _applies(self, host: Host) -> bool:
        return bool(host.channel.greeting.get("gpu_driver"))


def samplers(hosts: Sequence[Host]) -> list[Sampler]:
    """Return the samplers of a cluster's hosts, the driver first."""
    return [source for source in (HostSampler(hosts), GpuSampler(hosts)) if source.scopes]


def _until_begun(script: _Running) -> None:
    """Wait for the first line: a run may end before its sampler has started."""
    end = time.monotonic() + STARTING
    while script.process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError):
            if script.host.channel.read(str(script.raw)):
                return
        time.sleep(0.02)


def _report(text: str) -> None:
    """Report a problem; the runner shows it once and adds it to each affected run."""
    _log.warning("%s", text)


def write_parquet(
    raw: Path, target: Path, columns: Sequence[str] = COLUMNS, texts: Sequence[str] = ()
) -> None:
    """Turn samplers' lines into one table, a row for each sample and scope.

    Columns: ``t`` (s), ``wall_ns``, ``scope``, and ``columns`` (double; for the host cores'
    worth, bytes, bytes/s, Hz) and ``texts``. The sampler's own CPU seconds are the schema's
    metadata ``sampler_cpu_seconds``. Raises ValueError with the sampler's reason where nothing
    was sampled.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = list(_samples(raw))
    samples = [line for line in lines if "rows" in line]
    if not samples:
        raise ValueError(next((line["fault"] for line in lines), "nothing was sampled"))
    rows = [
        {"t": sample["t"], "wall_ns": sample["wall_ns"], **row}
        for sample in samples
        for row in sample["rows"]
    ]
    fields = [("t", pa.float64()), ("wall_ns", pa.int64()), ("scope", pa.string())]
    fields += [(name, pa.float64()) for name in columns]
    fields += [(name, pa.string()) for name in texts]
    own = {"sampler_cpu_seconds": repr(samples[-1]["self_cpu"])}
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(fields, metadata=own)), target)


def _samples(raw: Path) -> Iterator[dict[str, Any]]:  # without a torn last line
    for line in raw.read_text(encoding="ascii").splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)
