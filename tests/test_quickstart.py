"""``make quickstart`` from a clean clone, where no Java can be found."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.store.folder import Store
from tests.report.test_browser import looks_right

pytestmark = [pytest.mark.real, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[1]


def without_java(folder: Path) -> str:
    """Return a PATH that has everything of today's but Java."""
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).glob("*") if Path(place).is_dir() else ():
            link = folder / program.name
            if not program.name.startswith("java") and not link.is_symlink():
                link.symlink_to(program)
    return str(folder)


def test_the_first_command_does_it_all_without_java(tmp_path: Path) -> None:
    clone, tools = tmp_path / "clone", tmp_path / "bin"
    tools.mkdir()
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    env = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"}
    env |= {"PATH": without_java(tools), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    env.pop("VIRTUAL_ENV", None)
    env["UV_CACHE_DIR"] = os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv"))
    assert shutil.which("java", path=env["PATH"]) is None
    # One repeat of three: the others would do the same again.
    words = ["make", "quickstart", "RUN=--where repeat=0"]
    words += [f"PYTHON={shutil.which('python3.11') or 'python3'}"]
    done = subprocess.run(words, cwd=clone, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    page = clone / "reports" / "quickstart" / "index.html"
    assert f"page: {page.relative_to(clone)}" in done.stdout
    read = Store(clone / "results" / "quickstart").read()
    assert [run.status for run in read.runs] == ["ok"] * 4
    spark = [run for run in read.runs if "spark" in run.cell.workload]
    assert {run.versions["java"].split(".")[0] for run in spark} == {"21"}
    text = looks_right(page, tmp_path)
    assert "logistic regression on this machine" in text
