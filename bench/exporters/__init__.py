"""Results in other tools' formats: one file for each format.

A format is a function ``(Export) -> the files written``; the first sentence of its docstring is
its help. Other distributions add formats by the entry point group ``benchcast.exporters``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import msgspec

from bench.errors import UserError, nearest
from bench.store import Results

GROUP = "benchcast.exporters"
EXPORTERS: Mapping[str, str] = {
    "parquet": "bench.exporters.parquet:export",
}


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """An export request: a study's results, and the new or empty folder to write into."""

    study: str
    results: Results
    folder: Path


Exporter = Callable[[Export], Sequence[Path]]


def names() -> tuple[str, ...]:
    """Return the names of all formats, sorted."""
    return tuple(
        sorted({*EXPORTERS, *(point.name for point in metadata.entry_points(group=GROUP))})
    )


def find(name: str) -> Exporter:
    """Return a format's function; UserError for an unknown name or a broken plug-in."""
    if name in EXPORTERS:
        module, _, function = EXPORTERS[name].partition(":")
        exporter: Exporter = getattr(importlib.import_module(module), function)
        return exporter
    for point in metadata.entry_points(group=GROUP, name=name):
        return _loaded(point)
    hint = nearest(name, names())
    raise UserError(f"format {name!r} is unknown; allowed: {', '.join(names())}", remedy=hint)


def _loaded(point: metadata.EntryPoint) -> Exporter:
    try:
        exporter: Exporter = point.load()
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"format {point.name!r} of {point.value} cannot be loaded ({error})",
            remedy="upgrade or remove the package that brings it",
        ) from error
    return exporter
