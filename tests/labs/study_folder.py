"""A folder with studies, a workload that needs no engine's program, and ``benchcast`` run in it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
JOURNALS = "results/*/*.jsonl"
QUICK = """
name   = "quick"
task   = "quick/1"
engine = "tensorflow"
entry  = "main.py"
stages = ["train"]
[params.seconds]
type    = "float"
default = 0.0
[params.burn]
type    = "float"
default = 0.0
[quality.float64]
objective = 1e-6
"""
MAIN = """
import json, os, time
from _common.emitter import Report
report = Report.read()
report.ready(workers=len(json.loads(os.environ["TF_CONFIG"])["cluster"]["worker"]))
for number in report.passes():
    with report.stage("train"):
        time.sleep(report.params["seconds"])
        while time.process_time() < report.params["burn"]:
            pass
report.quality(objective=0.5)
report.end()
"""


@dataclass(frozen=True, kw_only=True)
class StudyFolder:
    """Where studies are written and run; ``results`` are below it."""

    folder: Path

    def write(self, text: str, settings: Mapping[str, object], name: str) -> Path:
        """Write a study whose last entry is an environment of these settings."""
        lines = [f"{key} = {toml(value)}" for key, value in settings.items()]
        path = self.folder / f"{name}.toml"
        path.write_text("\n".join([text, "[[environment]]", *lines, ""]))
        return path

    def quick(self) -> None:
        """Put a workload ``./quick`` beside the studies that needs no engine's own program.

        It sleeps ``seconds``, then works until its process has had ``burn`` seconds of CPU time.
        """
        folder = self.folder / "quick"
        folder.mkdir(exist_ok=True)
        (folder / "workload.toml").write_text(QUICK)
        (folder / "main.py").write_text(MAIN)

    def popen(self, *argv: str) -> subprocess.Popen[str]:
        """Start ``benchcast`` in the folder."""
        return subprocess.Popen(
            [sys.executable, "-m", "bench", *argv],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def benchcast(self, *argv: str, timeout: float = 280.0) -> tuple[int, str, str]:
        """Run ``benchcast`` in the folder; return exit code, output and errors."""
        with self.popen(*argv) as process:
            try:
                out, errors = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        return process.returncode, out, errors

    def kills(
        self, study: Path, left: Callable[[], object], *, times: int, seed: int
    ) -> tuple[int, float]:
        """Kill ``run`` at random moments of its session, and clean up after each.

        ``left`` says what there is: after each cleanup the same as before all. The moments are
        spread over the length of a session that is let be, in seconds, which is returned with the
        number of sessions that were killed before their end.
        """
        before = left()
        with self.popen("run", str(study), "--new") as whole:
            begun = self._session_of(whole, set())
            errors = whole.communicate(timeout=280)[1]
        length = time.monotonic() - begun
        assert whole.returncode == 0, errors
        dice = random.Random(seed)
        killed = 0
        for number in range(times):
            moment = dice.uniform(0.0, length)
            known = set(self.folder.glob(JOURNALS))
            with self.popen("run", str(study), "--new") as running:
                self._session_of(running, known)
                time.sleep(moment)
                killed += running.poll() is None
                running.kill()
            code, out, errors = self.benchcast("cleanup", str(study))
            told = f"kill {number} after {moment:.2f} s: {out}{errors}"
            assert code == 0, told
            assert left() == before, told
        return killed, length

    def _session_of(self, running: subprocess.Popen[str], known: set[Path]) -> float:
        """Wait until a run has begun its session; return the moment, on the monotonic clock."""
        end = time.monotonic() + 120
        while not set(self.folder.glob(JOURNALS)) - known:
            assert running.poll() is None, running.communicate()[1]
            assert time.monotonic() < end, "no session began"
            time.sleep(0.02)
        return time.monotonic()


def toml(value: object) -> str:
    """Return a value as TOML writes it in a line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(one) for one in value) + "]"
    return json.dumps(value)
