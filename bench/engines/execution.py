"""What executions of both engines share: ranks as processes on hosts, logs, reasons."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from bench.contracts import Host, Outcome, Process
from bench.errors import HostLost
from bench.hosts import Throttled
from bench.ids import utc_now
from bench.records.cluster import Job
from bench.records.results import RunEvent
from bench.records.study import Dataset
from bench.text import redact

LOOK = 0.05  # seconds between looks at several processes
TAIL = 65_536  # bytes of a log that are searched for its last error
KEPT = 200_000  # bytes of an executor's log that are kept
MIB = 1 << 20
LEAST_OVERHEAD = 384 * MIB
REPORTED = ":::BENCH "

_RAISED = re.compile(r"^(?:Caused by: )?[A-Za-z_][\w.$]*(?:Error|Exception|Exit|Interrupt)\b.*")
_LOGGED = re.compile(r"\b(?:ERROR|FATAL|CRITICAL)\b|\bKilled\b|OutOfMemory|benchcast: ")


class Rank(msgspec.Struct):
    """One process of a job and the host that it runs on."""

    host: Host
    process: Process


def heap(memory: int) -> int:
    """Return the JVM heap in whole MiB for a container of ``memory`` bytes.

    Spark's own rule on YARN and Kubernetes (``spark.executor.memoryOverheadFactor`` 0.1, at least
    384 MiB), read backwards: heap = memory - max(384 MiB, 10 %).
    """
    return max(0, memory - max(LEAST_OVERHEAD, memory // 10)) // MIB


def threads(cores: int) -> dict[str, str]:
    """Return the variables that pin every numeric library to ``cores`` threads."""
    names = ("BENCH_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys((*names, "NUMEXPR_NUM_THREADS"), str(cores))


def put_bundle(host: Host, job: Job) -> tuple[Path, Path]:
    """Bring the bundle to ``<run>/bundle`` on the host; return the entry and its folder."""
    for path, source in job.bundle.items():
        host.put(Path(source), f"{job.run}/bundle/{path}")
    bundle = host.folder / job.run / "bundle"
    return bundle / job.entry, bundle


def scratch(host: Host, job: Job) -> Path:
    """Return the run's scratch folder on the host; the workload makes it."""
    return host.folder / job.run / "work"


def argument(host: Host, job: Job, rank: int) -> str:
    """Return the job's one JSON argument for the process ``rank``."""
    told = {
        "run": job.run,
        "rank": rank,
        "params": dict(job.params),
        "datasets": {role: _plain(data) for role, data in job.datasets.items()},
        "metrics": dict(job.metrics),
        "passes": job.passes,
        "stages": job.stages,
        "workers": job.workers,
        "folder": str(scratch(host, job)),
    }
    return json.dumps(told, sort_keys=True)


def _plain(data: Dataset) -> dict[str, object]:
    """Return a dataset as the workload reads it; credentials never travel in the argument."""
    told: dict[str, object] = {"name": data.name, **data.params}
    if data.generator is not None:
        told["generator"] = data.generator
    if data.source is not None:
        told |= {
            key: value
            for key, value in msgspec.to_builtins(data.source).items()
            if value and key != "credentials"
        }
    return told


def last_error(log: Path) -> str:
    """Return the last meaningful error line of a log without folders, or an empty string."""
    return error_in(_tail(log, TAIL))


def error_in(text: str) -> str:
    """Return the last meaningful error line of a log's text, without folders, or nothing."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if REPORTED not in line]
    for pattern in (_RAISED, _LOGGED):
        for line in reversed(lines):
            if pattern.search(line):
                return redact(line)
    return redact(lines[-1]) if lines else ""


def events(found: Iterable[tuple[str, str]]) -> tuple[RunEvent, ...]:
    """Return (kind, text) pairs as events that were noticed now."""
    now = utc_now()
    return tuple(RunEvent(at=now, kind=kind, text=text) for kind, text in found)


def exit_text(code: int) -> str:
    """Return an exit code in words."""
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def artefacts(log: Path) -> list[str]:
    """Return the names of files below the scratch folder that the workload reported."""
    names = []
    for line in log.read_text(errors="replace").splitlines():
        _, mark, text = line.partition(REPORTED)
        if not mark or '"artefact"' not in text:
            continue
        try:
            told = json.loads(text)
        except json.JSONDecodeError:
            continue  # the verdict on a torn line is not ours
        name = str(told.get("path", ""))
        if told.get("event") == "artefact" and name and "/" not in name and name != "..":
            names.append(name)
    return names


def fetch(host: Host, source: Path, target: Path, missing: list[str]) -> bool:
    """Copy from the host; what cannot be copied is named in ``missing``."""
    try:
        host.get(source, target)
    except (OSError, HostLost) as error:
        why = error.what if isinstance(error, HostLost) else error.strerror
        missing.append(f"{source.name}: {why}")
        return False
    return True


def pack(source: Path, target: Path) -> None:
    """Compress a file with zstd (Spark's history server reads that too) and delete it.

    An event log repeats itself: 9 MB become 0.2 MB in 0.01 s of CPU.
    """
    import pyarrow

    with source.open("rb") as plain, pyarrow.CompressedOutputStream(str(target), "zstd") as packed:
        shutil.copyfileobj(plain, packed)
    source.unlink()


def cut(path: Path) -> None:
    """Keep the last 200 kB of a log."""
    if path.stat().st_size > KEPT:
        path.write_text("[...]\n" + _tail(path, KEPT))


def _tail(path: Path, size: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - size))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


class Meter:
    """What the worker hosts spent from now on."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        """Read CPU time and throttling of the hosts."""
        self._hosts = list(hosts)
        self._cpu = [host.cpu_seconds() for host in hosts]
        self._throttled = self._held_back()

    def cpu(self) -> float | None:
        """Return CPU seconds of all hosts since then; None where one is unknown."""
        total = 0.0
        for host, before in zip(self._hosts, self._cpu, strict=True):
            after = host.cpu_seconds()
            if after is None:
                return None
            total += max(0.0, after - (before or 0.0))
        return total

    def marks(self) -> list[tuple[str, str]]:
        """Return a mark when something other than a cpu_limit held the hosts back."""
        after = self._held_back()
        if after is None or self._throttled is None or after - self._throttled < 0.01:
            return []
        text = f"a quota around the harness held it back for {after - self._throttled:.2f} s"
        return [("throttled", text)]

    def _held_back(self) -> float | None:
        known = [host.throttled() for host in self._hosts if isinstance(host, Throttled)]
        return max((seconds for seconds in known if seconds is not None), default=None)


class Ranks:
    """Processes that belong together: a failed one cancels its peers and is named."""

    def __init__(self, ranks: Sequence[Rank]) -> None:
        """Follow processes that have just been started."""
        self.ranks = list(ranks)
        self.failed: tuple[int, int] | None = None  # (rank, exit code)
        self.lost = ""  # which host was lost
        self.started = time.monotonic()
        self.ended: float | None = None
        self.cancelled = False
        self._lock = threading.Lock()

    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds until all ended (one failure ends its peers)."""
        deadline = time.monotonic() + timeout
        while not self._look():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if len(self.ranks) == 1:
                self.ranks[0].process.wait(left)
            else:
                time.sleep(min(LOOK, left))
        return True

    def kill(self) -> None:
        """End all that still run; return when they are gone."""
        with self._lock:
            for rank in self.ranks:
                rank.process.kill()
            self.ended = self.ended or time.monotonic()

    def cancel(self) -> None:
        """Stop what still runs, on demand; idempotent."""
        if not self._look():
            self.cancelled = True
        self.kill()

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield (rank, line) of all logs as they grow, until all have ended."""
        readers = [_Reader(rank.process) for rank in self.ranks]
        with contextlib.suppress(HostLost, FileNotFoundError):  # for progress only: it may end
            while True:
                over = self.ended is not None or all(
                    rank.process.poll() is not None for rank in self.ranks
                )
                fresh = [(i, line) for i, reader in enumerate(readers) for line in reader.lines()]
                yield from fresh
                if over and not fresh:
                    return
                if not fresh:
                    time.sleep(0.2)

    def outcome(self, logs: Mapping[int, Path], missing: list[str]) -> Outcome:
        """Return status, reason and seconds; ``logs`` are already here."""
        reason = ""
        if self.cancelled:
            reason = "cancelled"
        elif self.lost:
            reason = self.lost
        elif self.failed is not None:
            rank, code = self.failed
            named = f"rank {rank} of {len(self.ranks)} " if len(self.ranks) > 1 else "the driver "
            said = last_error(logs[rank]) if rank in logs else ""
            reason = f"{named}{exit_text(code)}" + (f": {said}" if said else "")
        return Outcome(
            status="failed" if reason else "ok",
            reason=reason,
            logs=dict(logs),
            machines=tuple(rank.host.machine().digest for rank in self.ranks),
            seconds=(self.ended or time.monotonic()) - self.started,
            missing=tuple(missing),
        )

    def _look(self) -> bool:
        """Note what has ended; True when nothing runs any more. A lost host ends all."""
        try:
            return self._note()
        except HostLost as error:
            self.lost = self.lost or redact(error.what)
            self.kill()
            return True

    def _note(self) -> bool:
        codes = [rank.process.poll() for rank in self.ranks]
        bad = [(i, code) for i, code in enumerate(codes) if code]
        if bad and self.failed is None and not self.cancelled and self.ended is None:
            self.failed = bad[0]
            self.ended = time.monotonic()
            self.kill()
            return True
        if all(code is not None for code in codes):
            self.ended = self.ended or time.monotonic()
            return True
        return False


class _Reader:
    """Reads whole lines of an output that grows."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._offset = 0
        self._part = b""

    def lines(self) -> Iterator[str]:
        fresh = self._process.read(self._offset)
        self._offset += len(fresh)
        *whole, self._part = (self._part + fresh).split(b"\n")
        yield from (line.decode(errors="replace").rstrip("\r") for line in whole)
