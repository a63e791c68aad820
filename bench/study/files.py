"""Read a study file and what it includes."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import StudyError
from bench.study import values
from bench.study.table import Table

INCLUDED_KEYS = ("include", "site", "dataset")


@dataclass
class SharedTables:
    """Sites and datasets by name, from the study and all files that it includes."""

    sites: dict[str, Table] = field(default_factory=dict)
    datasets: dict[str, Table] = field(default_factory=dict)


def read_toml(path: Path) -> Table:
    """Return the file's top table; StudyError if it is unreadable or not TOML."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise StudyError(f"{path}: no such file", remedy="benchcast init writes one") from error
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise StudyError(
            f"{path}: line {line} is not UTF-8", remedy="save the file as UTF-8 text"
        ) from error
    try:
        return Table(str(path), "", tomllib.loads(content))
    except ValueError as error:
        raise StudyError(f"{path}: not TOML: {error}") from error
    except RecursionError as error:
        raise StudyError(f"{path}: not TOML: nested too deeply") from error


def shared(top: Table, path: Path) -> SharedTables:
    """Collect sites and datasets of the study and, in order, of its includes."""
    tables = SharedTables()
    _collect(top, path, [path.resolve()], set(), tables)
    return tables


def _collect(
    top: Table, path: Path, chain: Sequence[Path], done: set[Path], tables: SharedTables
) -> None:
    done.add(path.resolve())
    for group, into in (("site", tables.sites), ("dataset", tables.datasets)):
        for name, table in top.tables(group).items():
            if name in into:
                raise table.wrong("", f"{into[name].file} has a {group} of this name too")
            into[name] = table
    for name in top.choose("include", values.text) or ():
        below = path.parent / name
        if below.resolve() in chain:
            raise top.wrong("include", f'"{name}" includes itself', "take one of the two out")
        if below.resolve() not in done:
            included = read_toml(below)
            included.only(INCLUDED_KEYS)
            _collect(included, below, [*chain, below.resolve()], done, tables)
