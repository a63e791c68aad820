"""Logs of processes: their last error in one line, their artefacts, their exit code."""

from __future__ import annotations

import json
import re
from pathlib import Path

from bench.text import redact

TAIL = 65_536  # bytes of a log in which to search for its last error
TAIL_KEPT = 200_000  # bytes of an executor's log that are stored
REPORTED = ":::BENCH "

_RAISED = re.compile(r"^(?:Caused by: )?[A-Za-z_][\w.$]*(?:Error|Exception|Exit|Interrupt)\b.*")
_LOGGED = re.compile(r"\b(?:ERROR|FATAL|CRITICAL)\b|\bKilled\b|OutOfMemory|benchcast: ")


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


def exit_text(code: int) -> str:
    """Return an exit code in words."""
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def artefacts(log: Path) -> list[str]:
    """Return the names of files below the scratch folder that the workload reported."""
    names = []
    for line in log.read_text(errors="replace").splitlines():
        _, separator, text = line.partition(REPORTED)
        if not separator or '"artefact"' not in text:
            continue
        try:
            event = json.loads(text)
        except json.JSONDecodeError:
            continue  # another module judges torn lines
        name = str(event.get("path", ""))
        if event.get("event") == "artefact" and name and "/" not in name and name != "..":
            names.append(name)
    return names


def cut(path: Path) -> None:
    """Keep the last 200 kB of a log."""
    if path.stat().st_size > TAIL_KEPT:
        path.write_text("[...]\n" + _tail(path, TAIL_KEPT))


def _tail(path: Path, size: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - size))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
