"""Facts of a machine from the kernel's files; what they do not report is absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.hosts.agent import machine
from bench.hosts.machine import this_machine


def test_governors_are_all_named_where_they_differ(tmp_path: Path) -> None:
    assert machine.governor(tmp_path) is None
    for core, text in enumerate(("powersave", "performance", "powersave")):
        folder = tmp_path / f"cpu{core}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(f"{text}\n")
    assert machine.governor(tmp_path) == "performance, powersave"


@pytest.mark.parametrize(
    ("text", "count"),
    [("0\n", 1), ("0-1\n", 2), ("0,64\n", 2), ("0-3,8-11\n", 8), ("", None), ("0-x\n", None)],
)
def test_threads_of_a_core(text: str, count: int | None, tmp_path: Path) -> None:
    assert machine.threads_per_core(tmp_path) is None
    folder = tmp_path / "cpu0" / "topology"
    folder.mkdir(parents=True)
    (folder / "thread_siblings_list").write_text(text)
    assert machine.threads_per_core(tmp_path) == count


@pytest.mark.parametrize(
    ("cpuinfo", "hypervisor", "found"),
    [
        ("flags\t\t: fpu vme hypervisor sse\n", None, "hypervisor"),
        ("flags\t\t: fpu vme sse\n", None, "none"),
        ("flags\t\t: fpu\n", "xen\n", "xen"),
        ("Features\t: fp asimd\n", None, None),
        (None, None, None),
    ],
)
def test_virtualization(
    cpuinfo: str | None, hypervisor: str | None, found: str | None, tmp_path: Path
) -> None:
    files = {"cpuinfo": cpuinfo, "hypervisor": hypervisor}
    for name, text in files.items():
        if text is not None:
            (tmp_path / name).write_text(text)
    assert machine.virtualization(tmp_path / "cpuinfo", tmp_path / "hypervisor") == found


def test_an_unknown_fact_is_no_part_of_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    this_machine.cache_clear()
    known = {"governor": lambda: None, "virtualization": lambda: None}
    for name, unknown in known.items():
        monkeypatch.setattr(machine, name, unknown)
    monkeypatch.setattr(machine, "threads_per_core", lambda: None)
    bare = this_machine()
    this_machine.cache_clear()
    monkeypatch.setattr(machine, "governor", lambda: "performance")
    told = this_machine()
    this_machine.cache_clear()
    assert (bare.governor, told.governor) == (None, "performance")
    assert bare.digest != told.digest
