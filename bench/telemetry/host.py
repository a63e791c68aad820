"""The sampler as a metric source: it runs beside the work and ends in ``samples.parquet``."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.telemetry import sampler

COLUMNS = (  # double, or null where it does not apply
    "cpu_user",
    "cpu_system",
    "cpu_iowait",
    "cpu_steal",
    "memory_used",
    "disk_read",
    "disk_write",
    "net_rx",
    "net_tx",
)
_log = logging.getLogger(__name__)


class HostSampler:
    """Samples one machine and the marked processes on it, once a second.

    It never fails a run: what goes wrong is logged, and the file is missing.
    """

    def __init__(self, mark: str, scopes: Mapping[int, str], folder: Path) -> None:
        """``mark`` is study/session/cluster; ``scopes`` names host numbers; raw in ``folder``."""
        self._mark = mark
        self._scopes = dict(scopes)
        self._raw = folder / "samples.jsonl"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin to sample; a sampler that runs already is ended first."""
        self._end()
        argv = [sys.executable, "-I", sampler.__file__]
        argv += ["--out", str(self._raw), "--mark", self._mark]
        for number, name in self._scopes.items():
            argv += ["--scope", f"{number}={name}"]
        try:
            self._raw.unlink(missing_ok=True)
            self._process = subprocess.Popen(
                argv,
                env={"PATH": os.defpath, "BENCHCAST_OWNER": self._mark},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            _log.warning("the sampler did not start: %s", error)

    def stop(self, folder: Path) -> None:
        """End, and write ``samples.parquet`` into ``folder``."""
        self._end()
        try:
            write_parquet(self._raw, folder / "samples.parquet")
            self._raw.unlink(missing_ok=True)
        except (OSError, ValueError, ImportError) as error:  # pyarrow's errors are ValueErrors
            _log.warning("no samples of this run: %s", error)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def write_parquet(raw: Path, target: Path) -> None:
    """Turn the sampler's lines into one table, a row for each sample and scope.

    Columns: ``t`` (s), ``wall_ns``, ``scope``, and COLUMNS (cores' worth; bytes; bytes/s). The
    sampler's own CPU seconds are the schema's metadata ``sampler_cpu_seconds``.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    samples = list(_samples(raw))
    if not samples:
        raise ValueError("nothing was sampled")
    rows = [
        {"t": sample["t"], "wall_ns": sample["wall_ns"], **row}
        for sample in samples
        for row in sample["rows"]
    ]
    fields = [("t", pa.float64()), ("wall_ns", pa.int64()), ("scope", pa.string())]
    fields += [(name, pa.float64()) for name in COLUMNS]
    own = {"sampler_cpu_seconds": repr(samples[-1]["self_cpu"])}
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(fields, metadata=own)), target)


def _samples(raw: Path) -> Iterator[dict[str, Any]]:  # a torn last line is left out
    for line in raw.read_text(encoding="ascii").splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)
