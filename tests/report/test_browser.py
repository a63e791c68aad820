"""The page in a real browser: no error in its console, and something to see."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bench import report
from tests.conftest import absent
from tests.report.test_report import example

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=5000",
)


def browse(page: Path, scratch: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Open a page in headless Chromium with a fresh profile."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        absent("chromium", "make browser")
    profile = f"--user-data-dir={scratch / 'profile'}"
    words = [str(browser), *FLAGS, profile, *more, page.resolve().as_uri()]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)


def looks_right(page: Path, scratch: Path) -> str:
    """Check that the page opens without an error and is not blank; return its text as shown."""
    shown = browse(page, scratch, "--dump-dom")
    assert ":CONSOLE" not in shown.stderr
    picture = scratch / "page.png"
    size = "--window-size=1280,3000"
    seen = browse(page, scratch, size, f"--screenshot={picture}")
    assert ":CONSOLE" not in seen.stderr
    from matplotlib import image

    pixels = image.imread(picture)
    assert pixels.shape[:2] == (3000, 1280)
    assert (
        len({tuple(row) for row in (pixels[::40, ::40, :3] * 255).astype(int).reshape(-1, 3)}) > 5
    )
    return shown.stdout


@pytest.mark.slow
def test_the_page_opens_without_an_error_and_shows_its_figures(tmp_path: Path) -> None:
    page = report.write(example(), tmp_path / "report")
    text = looks_right(page, tmp_path)
    assert text.count("<svg") >= 3
