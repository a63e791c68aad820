"""The report of a run: one JSON object a line on standard output, after ``:::BENCH ``."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from .quality import condense

MARK = ":::BENCH "
MAX_BYTES = 4000
STAGES = ("source", "validate", "preprocess", "features", "train", "evaluate", "score", "infer")
MODES = ("fused", "staged")
_MESSAGE_CHARACTERS = 500


class ReportError(ValueError):
    """What a workload may not say, or a job argument that cannot be read."""


def plain(value: object, where: str) -> Any:
    """Return value as JSON's own types; NaN and infinity are refused, numpy's numbers taken."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        if not math.isfinite(value):
            raise ReportError(f"{where} is {value}: a reported number must be finite")
        return float(value)
    if isinstance(value, Mapping):
        return {str(key): plain(entry, f"{where}.{key}") for key, entry in value.items()}
    if isinstance(value, (Sequence, np.ndarray)):
        return [plain(entry, f"{where}[{i}]") for i, entry in enumerate(value)]
    raise ReportError(f"{where} is a {type(value).__name__}: report numbers, text or lists of them")


def _cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended, in seconds."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def _message(error: BaseException) -> str:
    return " ".join(str(error).split())[:_MESSAGE_CHARACTERS]


@dataclass
class Report:
    """What one process of a run (one rank) says about its work.

    Read from the job's one JSON argument: run (the nonce), params, datasets by role, metrics
    (name -> unit), passes, stages, folder, and where they are known rank (0) and workers
    (expected; None).
    """

    run: str
    params: Mapping[str, Any]
    datasets: Mapping[str, Mapping[str, Any]]
    metrics: Mapping[str, str]
    pass_count: int
    stages: str
    folder: Path
    rank: int = 0
    workers: int | None = None
    _seq: int = field(default=0, init=False)
    _pass: int = field(default=0, init=False)
    _failed: BaseException | None = field(default=None, init=False)

    @classmethod
    def read(cls, argv: Sequence[str] | None = None) -> Report:
        """Read the job's argument (sys.argv[1], or argv[0] where argv is given) and begin."""
        arguments = sys.argv[1:] if argv is None else list(argv)
        if len(arguments) != 1:
            raise ReportError(f"{len(arguments)} arguments given: one JSON argument is expected")
        report = cls._parse(arguments[0])
        report.folder.mkdir(parents=True, exist_ok=True)
        sys.excepthook = report._uncaught
        report._emit(
            "begin", versions={"python": platform.python_version(), "numpy": np.__version__}
        )
        return report

    @classmethod
    def _parse(cls, text: str) -> Report:
        try:
            job = json.loads(text)
        except json.JSONDecodeError as error:
            raise ReportError(f"the job argument is not JSON: {error}") from error
        if not isinstance(job, dict):
            raise ReportError(f"the job argument is a {type(job).__name__}: an object is expected")
        missing = [key for key in ("run", "params", "datasets", "folder") if key not in job]
        if missing:
            raise ReportError(f"the job argument lacks {', '.join(missing)}")
        passes, stages = job.get("passes", 1), job.get("stages", "fused")
        if not isinstance(passes, int) or isinstance(passes, bool) or passes < 1:
            raise ReportError(f"passes is {passes!r}: a whole number from 1 on is expected")
        if stages not in MODES:
            raise ReportError(f"stages is {stages!r}: one of {', '.join(MODES)} is expected")
        return cls(
            run=str(job["run"]),
            params=job["params"],
            datasets=job["datasets"],
            metrics=job.get("metrics", {}),
            pass_count=passes,
            stages=stages,
            folder=Path(job["folder"]),
            rank=int(job.get("rank", 0)),
            workers=job.get("workers"),
        )

    @property
    def data(self) -> Mapping[str, Any]:
        """The dataset, of a workload that takes one."""
        if len(self.datasets) != 1:
            raise ReportError(f"{len(self.datasets)} datasets: choose one by its role")
        return next(iter(self.datasets.values()))

    def versions(self, **versions: str) -> None:
        """Tell the engine's versions, such as spark="4.1.4", java="17.0.9"."""
        self._emit("versions", versions=versions)

    def ready(self, *, workers: int) -> None:
        """Tell that the engine is up and how many workers it sees: the work begins."""
        self._emit("ready", workers=workers)

    def passes(self) -> Iterator[int]:
        """Yield the number of each pass of the work, from 0 (the cold one) on."""
        for number in range(self.pass_count):
            self._pass = number
            self._emit("pass", **{"pass": number})
            yield number

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one pipeline stage, wall and CPU of this process, in seconds."""
        if name not in STAGES:
            raise ReportError(f"stage {name!r} is unknown: one of {', '.join(STAGES)} is expected")
        self._emit("stage_start", **{"name": name, "pass": self._pass})
        began, cpu = time.monotonic(), _cpu_seconds()
        try:
            yield
        except BaseException as error:
            self.error(error)
            raise
        seconds, used = time.monotonic() - began, _cpu_seconds() - cpu
        facts = {"name": name, "pass": self._pass, "seconds": seconds, "cpu_seconds": used}
        self._emit("stage", **facts)

    def measure(
        self,
        metric: str,
        value: float | Sequence[float] | None = None,
        *,
        item: str | int | None = None,
        histogram: tuple[Sequence[float], Sequence[int]] | None = None,
    ) -> None:
        """Tell a metric of the current pass, one value or several; its unit is the manifest's.

        item is the query, batch or window it is of. histogram is (edges [n + 1], counts [n]), for
        more values than a line holds.
        """
        if metric not in self.metrics:
            raise ReportError(
                f"metric {metric!r} is not declared in workload.toml; add [metrics.{metric}] there"
                f" (declared: {', '.join(self.metrics) or 'none'})"
            )
        facts: dict[str, object] = {"metric": metric, "unit": self.metrics[metric]}
        if histogram is not None:
            facts["histogram"] = {"edges": histogram[0], "counts": histogram[1]}
        elif isinstance(value, (Sequence, np.ndarray)):
            facts["values"] = value
        else:
            facts["value"] = value
        if item is not None:
            facts["item"] = item
        self._emit("measure", **facts, **{"pass": self._pass})

    def dataset(self, role: str, **facts: object) -> None:
        """Tell what was read: name, digest, rows, moments."""
        self._emit("dataset", role=role, **facts)

    def quality(
        self,
        *,
        precision: str = "float64",
        vector: npt.NDArray[np.float64] | None = None,
        **figures: object,
    ) -> None:
        """Tell what was found: named numbers and conditions (true or false).

        vector [n] travels as norm, count and projections. The manifest's quality rule says what
        is compared.
        """
        if vector is not None:
            figures["vector"] = condense(vector)
        self._emit("quality", precision=precision, figures=figures)

    def artefact(self, name: str, save: Callable[[Path], None], suffix: str = "") -> Path:
        """Let save(path) write the file name+suffix below the folder; tell its sha256 and bytes."""
        path = self.folder / f"{name}{suffix}"
        save(path)
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        facts = {"name": name, "path": path.name, "sha256": digest, "bytes": path.stat().st_size}
        self._emit("artefact", **facts)
        return path

    def error(self, error: BaseException) -> None:
        """Tell an exception once: its type and the start of its message."""
        if self._failed is not None:
            return
        self._failed = error
        self._emit("error", type=type(error).__name__, message=_message(error))

    def end(self) -> None:
        """Tell that all work is done; nothing may follow."""
        self._emit("end")

    def _uncaught(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        self.error(error)
        sys.__excepthook__(kind, error, trace)

    def _emit(self, event: str, **facts: object) -> None:
        head = {
            "v": 1,
            "run": self.run,
            "rank": self.rank,
            "seq": self._seq,
            "mono_ns": time.monotonic_ns(),
            "wall_ns": time.time_ns(),
            "event": event,
        }
        overlap = sorted(head.keys() & facts.keys())
        if overlap:
            raise ReportError(f"event {event}: {', '.join(overlap)} belongs to the emitter")
        record = head | plain(facts, event)
        text = json.dumps(record, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        line = f"{MARK}{text}\n".encode("ascii")
        if len(line) > MAX_BYTES:
            raise ReportError(f"event {event} takes {len(line)} bytes: at most {MAX_BYTES} allowed")
        sys.stdout.flush()
        if os.write(sys.stdout.fileno(), line) != len(line):
            raise ReportError(f"event {event} could not be written in one piece")
        self._seq += 1
