"""The results folder: what is written is read again, and a corrupt line is an error."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bench.errors import StorageFailed, StoreError
from bench.plan.progress import Index
from bench.records.results import Run, Session, Started, StoppedLine
from bench.store.folder import Store
from tests.analysis import factory
from tests.conftest import absent


def started(run: str) -> Started:
    return Started(run=run, key="k" * 64, cluster="c1", at=factory.BEGUN)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "study").mkdir()
    return Store(tmp_path / "study")


def session() -> Session:
    return factory.session([factory.case()])


def a_run() -> Run:
    return factory.Maker().run(factory.case())


def test_everything_that_is_written_is_read_again(store: Store) -> None:
    journal = store.journal(session())
    run = a_run()
    journal.once(factory.MACHINE)
    journal.once(factory.MACHINE)
    journal.write(started(run.run))
    journal.write(run)
    journal.close()
    read = store.read()
    assert read.runs == [run]
    assert read.machines == {factory.MACHINE.digest: factory.MACHINE}
    assert read.sessions == {"s1": session()}
    assert read.orphans == []
    text = (store.root / "s1.jsonl").read_text()
    assert text.count('"record":"machine"') == 1


def test_a_start_without_an_end_is_an_orphan_and_a_stopped_one_is_not(store: Store) -> None:
    journal = store.journal(session())
    journal.write(started("a"))
    journal.write(started("b"))
    journal.write(StoppedLine(run="b", reason="Ctrl-C", at=factory.BEGUN))
    journal.close()
    assert [(owner, one.run) for owner, one in store.read().orphans] == [("s1", "a")]


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_last_line_is_skipped_with_a_warning_and_stays(store: Store, cut: int) -> None:
    journal = store.journal(session())
    journal.write(a_run())
    journal.close()
    path = store.root / "s1.jsonl"
    torn = path.read_bytes()[:-cut]
    path.write_bytes(torn)
    read = store.read()
    assert read.runs == []
    assert read.warnings == ["s1.jsonl: its last line is torn and was skipped"]
    assert path.read_bytes() == torn


def test_a_spoilt_line_in_the_middle_is_an_error_that_names_it(store: Store) -> None:
    journal = store.journal(session())
    journal.write(a_run())
    journal.close()
    path = store.root / "s1.jsonl"
    head, run, end = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([head, run[:20], run, end]))
    with pytest.raises(StoreError, match=r"s1\.jsonl: line 2 cannot be read"):
        store.read()


def test_a_newer_schema_is_refused_with_the_remedy(store: Store) -> None:
    store.journal(session()).close()
    path = store.root / "s1.jsonl"
    path.write_text(path.read_text().replace('"schema":2', '"schema":3', 1))
    with pytest.raises(StoreError, match="schema 3.*reads up to 2; upgrade benchcast"):
        store.read()


@pytest.mark.parametrize("text", ["{}\n", "garbage\n", '{"record":"run"}\n', "\xff\n"])
def test_a_foreign_file_is_refused(store: Store, text: str) -> None:
    (store.root / "x.jsonl").write_text(text, encoding="latin-1")
    with pytest.raises(StoreError, match=r"x\.jsonl is not a results file"):
        store.read()


def test_an_empty_folder_and_an_empty_file_are_empty_results(store: Store) -> None:
    (store.root / "empty.jsonl").touch()
    read = store.read()
    assert (read.runs, read.latest) == ([], None)


def test_only_one_run_holds_a_folder(store: Store) -> None:
    with store.locked(), pytest.raises(StoreError, match="another run uses"):
        Store(store.root).locked().__enter__()
    with store.locked():
        pass


def test_the_folder_of_a_run_appears_whole_or_not_at_all(store: Store) -> None:
    partial = store.partial("r1")
    (partial / "a" / "b").mkdir(parents=True)
    (partial / "a" / "log").write_text("x")
    assert not store.folder("r1").exists()
    store.complete("r1")
    assert (store.folder("r1") / "a" / "log").read_text() == "x"
    store.discard("r1")
    assert not store.has_folder("r1")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)]
    if os.getuid() != 0 or subprocess.run(words, check=False, capture_output=True).returncode:
        absent("a small disk", "run the tests as root where tmpfs can be mounted")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_one_error_and_the_store_still_reads(small_disk: Path) -> None:
    store = Store(small_disk)
    journal = store.journal(session())

    def fill() -> None:
        for number in range(10_000):
            journal.write(msgspec.structs.replace(a_run(), run=f"r{number:05}"))

    with pytest.raises(StorageFailed, match="results cannot be written"):
        fill()
    journal.close()
    assert len(store.read().runs) > 3


def test_a_read_only_folder_is_refused(small_disk: Path) -> None:
    words = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(words, check=True)
    with pytest.raises(StoreError, match=r"cannot be written \(Read-only file system\)"):
        Store(small_disk / "study").locked().__enter__()


def test_the_index_counts_attempts_and_two_crashes_as_one() -> None:
    good = a_run()
    failed = factory.failed(good)
    key = failed.cell.key
    assert Index([failed, failed]).attempts(failed.cell) == 2
    assert Index([], [key]).attempts(failed.cell) == 0
    assert Index([], [key, key]).attempts(failed.cell) == 1
    assert Index([good]).ok(failed.cell)


@pytest.mark.parametrize("name", ["/etc/x", "../x", ".", "", "a/b", "a\nb", ".lock", "a\\b"])
def test_a_run_whose_name_leaves_the_folder_is_refused(store: Store, name: str) -> None:
    journal = store.journal(session())
    journal.write(started(name))
    journal.close()
    with pytest.raises(StoreError, match=r"s1\.jsonl: line 2 cannot be read"):
        store.read()


def test_a_start_that_ended_in_another_copy_of_its_file_is_no_orphan(store: Store) -> None:
    run = a_run()
    journal = store.journal(session())
    journal.write(started(run.run))
    early = (store.root / "s1.jsonl").read_bytes()
    journal.write(run)
    journal.close()
    (store.root / "a-copy.jsonl").write_bytes(early)
    (store.root / "z-copy.jsonl").write_bytes(early)
    read = store.read()
    assert (read.runs, read.orphans) == ([run], [])


def test_a_file_that_was_copied_beside_itself_counts_once_and_warns(store: Store) -> None:
    journal = store.journal(session())
    journal.write(a_run())
    journal.close()
    (store.root / "copy.jsonl").write_bytes((store.root / "s1.jsonl").read_bytes())
    read = store.read()
    assert len(read.runs) == 1
    assert read.warnings == ["s1.jsonl: 1 run in it also in a file before it; each counts once"]


@pytest.mark.parametrize("evil", ["\x1b]0;title\x07", "\x1b[31m", "\x9b31m", "\x7f"])
def test_control_characters_do_not_come_out_of_results(store: Store, evil: str) -> None:
    journal = store.journal(session())
    journal.write(factory.failed(a_run(), f"see {evil} C:\\u001b\nand\tso on"))
    journal.close()
    (run,) = store.read().runs
    assert not {"\x1b", "\x07", "\x9b", "\x7f"} & set(run.reason)
    assert run.reason.startswith("see ")
    assert run.reason.endswith("C:\\u001b\nand\tso on")
