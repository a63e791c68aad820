"""Find, read and bundle a workload: a folder with ``workload.toml`` and its files.

Ours lie beside the package in a checkout and inside it in an installed wheel; a user's own is
named by a path. A bundle is the same, to the digest, from either place.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import msgspec

import bench
from bench import digests
from bench.errors import WorkloadError, nearest
from bench.records.metrics import BUILT_IN
from bench.records.results import Bundle
from bench.records.workload import BuiltIn, Manifest
from bench.text import quote

MANIFEST = "workload.toml"
COMMON = "_common"
_PACKAGE = Path(bench.__file__).resolve().parent
_RUBBISH = (".pyc", ".pyo")


class WorkloadFolder(msgspec.Struct, frozen=True, kw_only=True):
    """A workload's folder on this machine, and how the study names it."""

    use: str
    path: Path


def root() -> Path:
    """Return the folder of our own workloads: the installed wheel's, else the checkout's.

    An installed package does not look beside itself: there lie other projects' folders.
    """
    shipped = _PACKAGE / "_workloads"
    return shipped if shipped.is_dir() else _PACKAGE.parent / "workloads"


def names() -> tuple[str, ...]:
    """Return the names of our own workloads, sorted."""
    return tuple(sorted(path.parent.name for path in root().glob(f"[!_.]*/{MANIFEST}")))


def is_path(use: str) -> bool:
    """Say whether a study's ``use`` is a path rather than a name."""
    return "/" in use or "\\" in use or use.startswith(".")


def find(use: str, base: Path) -> WorkloadFolder:
    """Return the folder of ``use``: a path relative to ``base`` (the study's folder) or a name."""
    if is_path(use):
        return _find_path(use, base)
    ours = names()
    if use not in ours:
        choice = f"{', '.join(ours) or 'none'}, or a path such as ../jobs/churn"
        hint = f"{near} " if (near := nearest(use, ours)) else ""
        raise WorkloadError(f"workload {quote(use)} is unknown", remedy=f"{hint}allowed: {choice}")
    return WorkloadFolder(use=use, path=root() / use)


def _find_path(use: str, base: Path) -> WorkloadFolder:
    if Path(use).is_absolute() or "\\" in use:
        raise WorkloadError(
            f"workload {quote(use)} is not a relative path",
            remedy="give it relative to the study file, with forward slashes: ../jobs/churn",
        )
    folder = base / use
    if not (folder / MANIFEST).is_file():
        raise WorkloadError(
            f"workload {quote(use)} has no {MANIFEST}",
            remedy=f"a path is relative to the study file; ours go by name: {', '.join(names())}",
        )
    return WorkloadFolder(use=use, path=folder)


def read(folder: WorkloadFolder) -> Manifest:
    """Read and check the manifest; WorkloadError names file, key and what is allowed."""
    file = f"{folder.use}/{MANIFEST}"
    raw = _toml(folder.path / MANIFEST, file)
    datasets = raw.get("dataset")
    if isinstance(datasets, dict):
        raw["dataset"] = {name: _built_in(data) for name, data in datasets.items()}
    try:
        manifest = msgspec.convert(raw, Manifest, strict=True)
    except msgspec.ValidationError as error:
        raise WorkloadError(f"{file}: {_explained(error, raw)}") from error
    _check_defaults(manifest, file)
    _check_files(manifest, folder.path, file)
    return manifest


def manifest(use: str, base: Path) -> Manifest:
    """Find and read in one step: what ``study.load`` takes as ``workload``."""
    return read(find(use, base))


def bundle(folder: WorkloadFolder) -> Bundle:
    """Return the files that travel: entry, listed files and all of ``_common``, with a digest.

    The digest is the sha256 of the canonical JSON of [path, sha256 of the bytes] pairs, sorted.
    """
    said = read(folder)
    contents = {name: path.read_bytes() for name, path in sources(folder).items()}
    pairs = [[name, hashlib.sha256(data).hexdigest()] for name, data in contents.items()]
    return Bundle(
        digest=digests.digest(pairs),
        workload=said.name,
        task=said.task,
        files={name: _text(data, f"{folder.use}/{name}") for name, data in contents.items()},
        metrics=said.all_metrics(),
        quality=said.quality.limits(),
    )


def sources(folder: WorkloadFolder) -> dict[str, Path]:
    """Return path in the bundle -> file here, sorted: entry, listed files, all of ``_common``."""
    said = read(folder)
    own = {name: folder.path / name for name in (said.entry, *said.files)}
    return dict(sorted((own | _common()).items()))


def _common() -> dict[str, Path]:
    """Return path in the bundle -> file of everything in ``_common`` but caches."""
    common = root() / COMMON
    found = {
        f"{COMMON}/{path.relative_to(common).as_posix()}": path
        for path in common.rglob("*")
        if path.is_file() and path.suffix not in _RUBBISH
    }
    hidden = ("__pycache__", ".")
    return {
        name: path
        for name, path in found.items()
        if not any(part.startswith(hidden) for part in PurePosixPath(name).parts)
    }


def _toml(path: Path, file: str) -> dict[str, object]:
    try:
        return tomllib.loads(_text(path.read_bytes(), file))
    except OSError as error:
        raise WorkloadError(f"{file}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise WorkloadError(f"{file}: not TOML: {error}") from error


def _text(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise WorkloadError(
            f"{file}: byte {error.start} is not UTF-8", remedy="save the file as UTF-8 text"
        ) from error


def _built_in(data: object) -> object:
    """Sort a dataset's keys: what is not ours belongs to the generator."""
    if not isinstance(data, Mapping):
        return data
    own = {key: data[key] for key in ("role", "generator", "help") if key in data}
    params = {key: value for key, value in data.items() if key not in own}
    return {**own, "params": params} if params else own


def _explained(error: msgspec.ValidationError, raw: Mapping[str, object]) -> str:
    """Turn msgspec's message around: key first, and the nearest right name."""
    what, _, place = str(error).partition(" - at ")
    key = place.strip("`").removeprefix("$").removeprefix(".").replace("[...]", ".*")
    text = what.replace("`", "'")
    if not key and text.startswith("Object contains unknown field '"):
        near = nearest(text.split("'")[1], set(Manifest.__struct_fields__) - raw.keys())
        text = f"{text}; {near} allowed: {', '.join(Manifest.__struct_fields__)}"
    return f"{key}: {text}" if key else text


def _check_defaults(said: Manifest, file: str) -> None:
    for name in said.metrics.keys() & BUILT_IN.keys():
        raise WorkloadError(
            f"{file}: metrics.{name}: every workload has this metric", remedy="take it out"
        )
    for name, param in said.params.items():
        try:
            param.accept(param.default)
        except ValueError as error:
            raise WorkloadError(f"{file}: params.{name}.default: {error}") from error
    for name, data in said.dataset.items():
        _check_built_in(data, f"{file}: dataset.{name}")


def _check_built_in(data: BuiltIn, place: str) -> None:
    for key, value in data.params.items():
        try:
            data.accept(key, value)
        except ValueError as error:
            raise WorkloadError(f"{place}.{key}: {error}") from error


def _check_files(said: Manifest, folder: Path, file: str) -> None:
    for key, names_ in (("entry", (said.entry,)), ("files", said.files)):
        for name in names_:
            path = PurePosixPath(name)
            if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name:
                raise WorkloadError(f"{file}: {key}: {quote(name)} is outside the folder")
            if path.parts[0] == COMMON:
                raise WorkloadError(f"{file}: {key}: {quote(name)}; {COMMON} is always bundled")
            if not (folder / name).is_file():
                raise WorkloadError(f"{file}: {key}: {quote(name)} does not exist there")
