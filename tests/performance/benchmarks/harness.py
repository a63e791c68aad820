"""Start-up, a big results folder, a big report, and the harness's own share of a run."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.records.identity import case_line
from bench.records.results import Run
from bench.store.folder import Store
from tests import reference
from tests.analysis.factory import Maker, analysis_of, case, digest, session
from tests.campaigns import campaign, write

MANY = 100_000
PAGE = 2_000


def cpu_of(words: list[str]) -> float:
    """Return the CPU seconds of one command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Command:
    """``benchcast --help``: median CPU and wall seconds of nine calls."""

    words = (sys.executable, "-m", "bench", "--help")

    def track_help_wall(self) -> float:
        """Wall seconds; on an idle machine close to the CPU seconds."""
        times = []
        for _ in range(9):
            begun = time.perf_counter()
            cpu_of(list(self.words))
            times.append(time.perf_counter() - begun)
        return statistics.median(times)

    def track_help_cpu(self) -> float:
        """CPU seconds."""
        return statistics.median(cpu_of(list(self.words)) for _ in range(9))

    track_help_wall.unit = track_help_cpu.unit = "s"  # type: ignore[attr-defined]


def many(count: int) -> Iterator[Run]:
    """Yield so many runs of 4 machines each, over 100 cases."""
    maker = Maker()
    machines = tuple(digest("machine", number) for number in range(4))
    cases = [case(workers=1 + number % 100) for number in range(100)]
    for number in range(count):
        run = maker.run(cases[number % 100], 10.0 + number % 7, repeat=number // 100)
        yield msgspec.structs.replace(run, machines=machines)


class Results:
    """Reading 100,000 runs of 4 machines each: seconds and peak memory of a fresh process."""

    timeout = 600

    def setup_cache(self) -> str:
        folder = Path(tempfile.mkdtemp()) / "many"
        folder.mkdir()
        journal = folder / "s1.jsonl"
        encoder = msgspec.json.Encoder()
        with journal.open("wb") as file:
            file.write(encoder.encode(session([])) + b"\n")
            for n in range(100):
                file.write(encoder.encode(case_line(case(workers=n + 1))) + b"\n")
            for run in many(MANY):
                file.write(encoder.encode(run) + b"\n")
        return str(folder)

    script = (
        "import sys, time, resource; from pathlib import Path; from bench.store import Store\n"
        "begun = time.process_time(); read = Store(Path(sys.argv[1])).read()\n"
        "assert len(read.runs) == 100_000\n"
        "print(time.process_time() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )

    def _measured(self, folder: str) -> tuple[float, float]:
        words = [sys.executable, "-c", self.script, folder]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        seconds, peak = done.stdout.split()
        return float(seconds), float(peak) * 1024

    def track_load_seconds(self, folder: str) -> float:
        """CPU seconds."""
        return statistics.median(self._measured(folder)[0] for _ in range(3))

    def track_load_peak(self, folder: str) -> float:
        """Peak memory of the process in bytes."""
        return self._measured(folder)[1]

    track_load_seconds.unit = "s"  # type: ignore[attr-defined]
    track_load_peak.unit = "bytes"  # type: ignore[attr-defined]


class Page:
    """Rendering a report of 2,000 runs, figures and all."""

    timeout = 600

    def track_render(self) -> float:
        """CPU seconds."""
        from bench import report

        cases = [case(workers=1 + number) for number in range(10)]
        maker = Maker()
        runs = [maker.run(cases[n % 10], 10.0 + n % 7, repeat=n // 10) for n in range(PAGE)]
        with tempfile.TemporaryDirectory() as folder:
            begun = time.process_time()
            report.write(analysis_of([session(cases)], [], runs), Path(folder) / "report")
            return time.process_time() - begun

    track_render.unit = "s"  # type: ignore[attr-defined]


def measured() -> list[Run]:
    """Return the good runs of the committed reference results."""
    return [run for run in Store(reference.RESULTS).read().runs if run.status == "ok"]


class Share:
    """The harness's CPU per cell where the work costs nothing (the fake environment)."""

    timeout = 600

    def track_cell(self) -> float:
        """CPU seconds a cell."""
        with tempfile.TemporaryDirectory() as folder:
            study = write(Path(folder), repeats=100)
            begun = time.process_time()
            tally, _ = campaign(study, Store(Path(folder) / "results"))
            return (time.process_time() - begun) / tally.ok

    def track_cpu_of_reference(self) -> float:
        """The harness's CPU from submit to the end of work, as a share of launch and work:
        the median over the committed reference runs."""
        return statistics.median(
            run.spans["cpu"] / (run.phases["launch"] + run.phases["work"]) for run in measured()
        )

    def track_spans_of_reference(self) -> float:
        """Wall seconds of submitting, collecting and storing as a share of launch and work; they
        lie outside the work."""
        return statistics.median(
            sum(run.spans[name] for name in ("submit", "collect", "store"))
            / (run.phases["launch"] + run.phases["work"])
            for run in measured()
        )

    track_cell.unit = "s"  # type: ignore[attr-defined]


class Sampler:
    """The sampler's CPU at 1 Hz, as a share of one core, beside a process tree of two."""

    timeout = 600
    seconds = 60

    def track_share(self) -> float:
        """CPU seconds a second."""
        from bench.hosts.agent import sampler

        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, "-I", str(sampler.__file__), "--owner", "none"]
            words += ["--out", str(Path(folder) / "samples.jsonl")]
            process = subprocess.Popen(words)
            time.sleep(self.seconds)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            process.terminate()
            process.wait()
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            return spent / self.seconds
