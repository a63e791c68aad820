"""Reading a big event log: a real one whose tasks are repeated until it has the size."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa

LOG = Path(__file__).parents[2] / "run_files" / "eventlogs" / "spark-3.5.9.zstd"
SIZE = 1 << 30


def grow(path: Path, size: int) -> int:
    """Write a log of so many bytes at least; return how many tasks it has."""
    with pa.CompressedInputStream(pa.OSFile(str(LOG)), "zstd") as stream:
        lines = stream.read().splitlines(keepends=True)
    of_tasks = [line for line in lines if line.startswith(b'{"Event":"SparkListenerTask')]
    first = lines.index(of_tasks[0])
    others = [line for line in lines[first:] if line not in of_tasks]
    block = b"".join(of_tasks)
    ends = sum(b"TaskEnd" in line for line in of_tasks)
    rounds = size // len(block) + 1
    with path.open("wb") as file:
        file.writelines(lines[:first])
        for number in range(rounds):
            file.write(block.replace(b'"Task ID":', b'"Task ID":%d' % (1000 * (number + 1))))
        file.writelines(others)
    return rounds * ends


class EventLog:
    """Reading a plain log of 1 GiB in a fresh process: rate and peak memory."""

    timeout = 900
    script = (
        "import sys, time; from pathlib import Path\n"
        "from bench.run_files.spark_event_log import read\n"
        "import pandas, pyarrow\n"
        "begun = time.process_time(); log = read(Path(sys.argv[1]))\n"
        "assert len(log.tasks) == int(sys.argv[2]) and not log.partial\n"
        "print(time.process_time() - begun)"
    )

    def setup_cache(self) -> tuple[str, int]:
        path = Path(tempfile.mkdtemp()) / "events"
        return str(path), grow(path, SIZE)

    def _measured(self, cache: tuple[str, int]) -> tuple[float, float]:
        """Return CPU seconds and the peak resident bytes of all children so far."""
        words = [sys.executable, "-c", self.script, cache[0], str(cache[1])]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        return float(done.stdout), float(peak)

    def track_rate(self, cache: tuple[str, int]) -> float:
        """Bytes a CPU second."""
        size = Path(cache[0]).stat().st_size
        return size / statistics.median(self._measured(cache)[0] for _ in range(3))

    def track_peak(self, cache: tuple[str, int]) -> float:
        """Peak memory of the process in bytes."""
        return self._measured(cache)[1]

    track_rate.unit = "B/s"  # type: ignore[attr-defined]
    track_peak.unit = "bytes"  # type: ignore[attr-defined]
