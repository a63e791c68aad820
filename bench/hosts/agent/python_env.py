"""The agent's requests that build a Python environment with uv; standard library only."""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from typing import IO

LEAST = (3, 11)  # Python of a built environment
INSTALLED = ("~/.local/bin", "~/.cargo/bin")  # where uv's own installer puts it


def env_is_built(path: str) -> bool:
    """Return whether a complete environment exists."""
    return os.path.exists(f"{path}/.ready")


def find_uv(cache: str, fresh: str | None = None, digest: str = "") -> str | None:
    """Return the path of uv: the user's own, else a sent one; None if there is none.

    ``fresh`` is a uv that has just arrived; ``digest`` is its sha256.
    """
    if fresh is not None and os.path.exists(fresh):
        with open(fresh, "rb") as file:
            if hashlib.sha256(file.read()).hexdigest() != digest:
                raise OSError(errno.EIO, "the file arrived damaged", fresh)
        os.chmod(fresh, 0o755)  # noqa: S103 - a program
        os.replace(fresh, f"{cache}/uv-{digest[:16]}")
    own = os.pathsep.join([os.environ.get("PATH", ""), *map(os.path.expanduser, INSTALLED)])
    sent = sorted(glob.glob(f"{glob.escape(cache)}/uv-{'[0-9a-f]' * 16}"))
    return shutil.which("uv", path=own) or (sent[-1] if sent else None)


def check_index(uv: str, requirement: str, seconds: float) -> str:
    """Ask the package index for one requirement; return uv's error, or an empty string."""
    words = ["pip", "install", "--dry-run", "--no-deps", "--python", sys.executable]
    with tempfile.TemporaryDirectory() as nowhere:  # uv makes its target even in a dry run
        return _uv([uv, *words, "--target", nowhere, requirement], seconds)


def build(uv: str, path: str, requirements: str, seconds: float) -> str:
    """Build an environment, once for all sessions; return uv's error, or an empty string."""
    end = time.monotonic() + seconds
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with open(f"{path}.lock", "w", encoding="ascii") as lock:
        if not _taken(lock, end):
            return f"another session has been building it for {seconds:g} s"
        if env_is_built(path):
            return ""
        shutil.rmtree(path, ignore_errors=True)  # an incomplete one
        with open(f"{path}.txt", "w", encoding="utf-8") as file:
            file.write(requirements)
        python = sys.executable if sys.version_info >= LEAST else f">={LEAST[0]}.{LEAST[1]}"
        into = ["--python", f"{path}/bin/python", "--require-hashes", "-r", f"{path}.txt"]
        for words in (["venv", "--python", python, path], ["pip", "install", *into]):
            if error := _uv([uv, *words], end - time.monotonic()):
                shutil.rmtree(path, ignore_errors=True)
                return error
        with open(f"{path}/.ready", "w", encoding="ascii"):
            return ""


def _uv(argv: list[str], seconds: float) -> str:
    """Run uv with the machine's own certificates; return its output if it fails.

    The output may be recorded, so ``~`` replaces the home folder, which would name the user.
    """
    env = {"UV_NATIVE_TLS": "1", "UV_SYSTEM_CERTS": "1", "NO_COLOR": "1", **os.environ}
    try:
        done = subprocess.run(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=max(1.0, seconds),
        )
    except subprocess.TimeoutExpired:
        return f"timed out after {seconds:.0f} s"
    output = done.stdout.decode("utf-8", "replace").strip()
    if len(home := os.path.expanduser("~").rstrip("/")) > 1:
        output = output.replace(home, "~")
    return "" if done.returncode == 0 else output or f"uv ended with exit code {done.returncode}"


def _taken(lock: IO[str], end: float) -> bool:
    """Take an environment's lock before ``end`` (monotonic); return whether it succeeded."""
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(0.2)
        else:
            return True
