"""The samplers as metric sources: they run beside the work and end in Parquet files.

``samples.parquet`` holds the host and the marked processes, ``gpu.parquet`` the GPUs. Neither
ever fails a run: what goes wrong is logged, once for each reason, and the file is missing.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.hosts import agent_sampler, gpu_sampler

COLUMNS = (  # double, or null where it does not apply
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
GPU_FILES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))  # the driver's; one of them with a GPU
STARTING = 5.0  # seconds that a sampler may take until its first line
_log = logging.getLogger(__name__)


class _Source:
    """A sampler that runs as a process of its own and writes JSON lines."""

    name: str  # of the files
    columns: tuple[str, ...]
    texts: tuple[str, ...] = ()

    def __init__(self, argv: Sequence[str], mark: str, folder: Path) -> None:
        """``argv`` is a script and its arguments; what it writes is kept in ``folder``."""
        self._raw = folder / f"{self.name}.jsonl"
        self._argv = [sys.executable, "-I", *argv, "--out", str(self._raw)]
        self._mark = mark
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, interval: float) -> None:
        """Begin to sample, each ``interval`` s; a sampler that runs already is ended first."""
        self._end()
        try:
            self._raw.unlink(missing_ok=True)
            self._process = subprocess.Popen(
                [*self._argv, "--interval", f"{interval:g}"],
                env={"PATH": os.defpath, "BENCHCAST_OWNER": self._mark},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            _say(f"the sampler of {self.name} did not start: {error}")

    def stop(self, folder: Path) -> None:
        """End, and write ``<name>.parquet`` into ``folder``."""
        self._end()
        target = folder / f"{self.name}.parquet"
        try:
            write_parquet(self._raw, target, self.columns, self.texts)
            self._raw.unlink(missing_ok=True)
        except (OSError, ValueError, ImportError) as error:  # pyarrow's errors are ValueErrors
            _say(f"no {self.name} of a run: {error}")

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        self._until_begun(process)
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _until_begun(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the first line: a run may be over before its sampler is up."""
        end = time.monotonic() + STARTING
        while process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(OSError):
                if self._raw.stat().st_size:
                    return
            time.sleep(0.01)


class HostSampler(_Source):
    """Samples one machine and the marked processes on it into ``samples.parquet``."""

    name = "samples"
    columns = COLUMNS

    def __init__(self, mark: str, scopes: Mapping[int, str], folder: Path) -> None:
        """``mark`` is study/session/cluster; ``scopes`` names host numbers."""
        argv = [agent_sampler.__file__, "--mark", mark]
        for number, name in scopes.items():
            argv += ["--scope", f"{number}={name}"]
        super().__init__(argv, mark, folder)


class GpuSampler(_Source):
    """Samples the NVIDIA GPUs of one machine into ``gpu.parquet``; needs the extra ``gpu``."""

    name = "gpu"
    columns = GPU_COLUMNS
    texts = ("throttle",)

    def __init__(self, mark: str, folder: Path) -> None:
        """``mark`` is study/session/cluster."""
        super().__init__([gpu_sampler.__file__], mark, folder)


def gpu_present(files: Sequence[Path] = GPU_FILES) -> bool:
    """Say whether the machine has NVIDIA's driver: without it there is nothing to sample."""
    return any(file.exists() for file in files)


@functools.cache
def _say(text: str) -> None:
    """Log a trouble the first time; every run of a campaign has the same one."""
    _log.warning("%s", text)


def write_parquet(
    raw: Path, target: Path, columns: Sequence[str] = COLUMNS, texts: Sequence[str] = ()
) -> None:
    """Turn a sampler's lines into one table, a row for each sample and scope.

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


def _samples(raw: Path) -> Iterator[dict[str, Any]]:  # a torn last line is left out
    for line in raw.read_text(encoding="ascii").splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)
