"""A TOML table that knows its position, so that every error names file and key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from bench.errors import StudyError, nearest
from bench.study import values
from bench.study.values import Convert
from bench.text import quote

T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """Values and their position; ``origins`` holds the position of keys from a site."""

    file: str
    key: str
    data: Mapping[str, object]
    origins: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def where(self, key: str = "") -> tuple[str, str]:
        """Return file and full key of the table or of one of its keys."""
        if key in self.origins:
            return self.origins[key]
        return self.file, ".".join(part for part in (self.key, key) if part)

    def place(self, key: str = "") -> str:
        """Return ``FILE: KEY`` of the table or of one of its keys."""
        file, path = self.where(key)
        return f"{file}: {path}" if path else file

    def wrong(self, key: str, what: str, remedy: str = "") -> StudyError:
        """Return the error for a key."""
        return StudyError(f"{self.place(key)}: {what}", remedy=remedy)

    def only(self, allowed: Iterable[str]) -> None:
        """Reject other keys, with the nearest allowed one."""
        choice = tuple(allowed)
        for key in self.data:
            if key not in choice:
                near = nearest(key, [name for name in choice if name not in self.data])
                remedy = f"{near} " if near else ""
                raise self.wrong(key, "unknown key", f"{remedy}allowed: {', '.join(choice)}")

    def get(self, key: str, convert: Convert[T], default: T) -> T:
        """Return a key's value, converted, or the default."""
        return self.need(key, convert) if key in self.data else default

    def need(self, key: str, convert: Convert[T]) -> T:
        """Return a required key's value, converted."""
        if key not in self.data:
            raise self.wrong(key, "missing", "it is required")
        try:
            return convert(self.data[key])
        except ValueError as error:
            raise StudyError(f"{self.place(key)}: {error}") from error

    def several(self, key: str, convert: Convert[T]) -> tuple[T, ...]:
        """Return a required key's values: one, or a list of different ones."""
        return self.need(key, lambda value: values.several(convert, value))

    def choose(self, key: str, convert: Convert[T]) -> tuple[T, ...] | None:
        """Return a key's values (one or a list), or None if it is missing."""
        return self.several(key, convert) if key in self.data else None

    def table(self, key: str) -> Table:
        """Return the table below a key (empty if there is none)."""
        value = self.data.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, f"{quote(value)} is not allowed", f"a table is: [{key}]")
        return Table(*self.where(key), value)

    def tables(self, key: str) -> dict[str, Table]:
        """Return the named tables below a key, such as ``[site.NAME]``."""
        group = self.table(key)
        for entry in group.data:
            group.need(entry, lambda _, entry=entry: values.name(entry))  # type: ignore[misc]
        return {entry: group.table(entry) for entry in group.data}

    def array(self, key: str) -> list[Table]:
        """Return the entries of a required array of tables; they are counted from 1."""
        value = self.data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise self.wrong(key, f"{quote(value)} is not allowed", f"[[{key}]] is")
        if not value:
            raise self.wrong(key, "missing", f"a study has at least one [[{key}]]")
        return [Table(self.file, f"{key}[{at}]", entry) for at, entry in enumerate(value, start=1)]
