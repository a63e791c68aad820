"""Find, read and bundle a workload: a folder with ``workload.toml`` and its files.

The built-in ones are beside the package in a checkout and inside it in an installed wheel; a
study names a user's own by path. Both places give the same bundle and digest.
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
    """Return the folder of the built-in workloads: the installed wheel's, else the checkout's.

    An installed package does not look beside itself: those folders belong to other projects.
    """
    shipped = _PACKAGE / "_workloads"
    return shipped if shipped.is_dir() else _PACKAGE.parent / "workloads"


def names() -> tuple[str, ...]:
    """Return the names of the built-in workloads, sorted."""
    return tuple(sorted(path.parent.name for path in root().glob(f"[!_.]*/{MANIFEST}")))


def is_path(use: str) -> bool:
    """Return whether a study's ``use`` is a path rather than a name."""
    return "/" in use or "\\" in use or use.startswith(".")


def find(use: str, base: Path) -> WorkloadFolder:
    """Return the folder of ``use``: a path relative to ``base`` (the study's folder) or a name."""
    if is_path(use):
        return _find_path(use, base)
    built_in = names()
    if use not in built_in:
        choice = f"{', '.join(built_in) or 'none'}, or a path such as ../jobs/churn"
        hint = f"{near} " if (near := nearest(use, built_in)) else ""
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
            remedy=f"a path is relative to the study file; by name there are: {', '.join(names())}",
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
    """Find and read a manifest; ``study.load`` takes it as ``workload``."""
    return read(find(use, base))


def bundle(folder: WorkloadFolder) -> Bundle:
    """Return the files that travel: entry, listed files and all of ``_common``, with a digest.

    The digest is the sha256 of the canonical JSON of [path, sha256 of the bytes] pairs, sorted.
    """
    manifest_ = read(folder)
    contents = {name: path.read_bytes() for name, path in sources(folder).items()}
    pairs = [[name, hashlib.sha256(data).hexdigest()] for name, data in contents.items()]
    return Bundle(
        digest=digests.digest(pairs),
        workload=manifest_.name,
        task=manifest_.task,
        files={name: _text(data, f"{folder.use}/{name}") for name, data in contents.items()},
        metrics=manifest_.all_metrics(),
        quality=manifest_.quality.limits(),
    )


def sources(folder: WorkloadFolder) -> dict[str, Path]:
    """Return path in the bundle -> file here, sorted: entry, listed files, all of ``_common``."""
    manifest_ = read(folder)
    own = {name: folder.path / name for name in (manifest_.entry, *manifest_.files)}
    return dict(sorted((own | _common()).items()))


def _common() -> dict[str, Path]:
    """Return path in the bundle -> file of everything in ``_common`` but caches."""
    common = root() / COMMON
    paths = {
        f"{COMMON}/{path.relative_to(common).as_posix()}": path
        for path in common.rglob("*")
        if path.is_file() and path.suffix not in _RUBBISH
    }
    hidden = ("__pycache__", ".")
    return {
        name: path
        for name, path in paths.items()
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
    """Sort a dataset's keys: unknown keys belong to the generator."""
    if not isinstance(data, Mapping):
        return data
    own = {key: data[key] for key in ("role", "generator", "help") if key in data}
    params = {key: value for key, value in data.items() if key not in own}
    return {**own, "params": params} if params else own


def _explained(error: msgspec.ValidationError, raw: Mapping[str, object]) -> str:
    """Return msgspec's message with the key first, and the nearest allowed name."""
    what, _, place = str(error).partition(" - at ")
    key = place.strip("`").removeprefix("$").removeprefix(".").replace("[...]", ".*")
    text = what.replace("`", "'")
    if not key and text.startswith("Object contains unknown field '"):
        near = nearest(text.split("'")[1], set(Manifest.__struct_fields__) - raw.keys())
        text = f"{text}; {near} allowed: {', '.join(Manifest.__struct_fields__)}"
    return f"{key}: {text}" if key else text


def _check_defaults(manifest_: Manifest, file: str) -> None:
    for name in manifest_.metrics.keys() & BUILT_IN.keys():
        raise WorkloadError(
            f"{file}: metrics.{name}: every workload has this metric", remedy="take it out"
        )
    for name, param in manifest_.params.items():
        try:
            param.accept(param.default)
        except ValueError as error:
            raise WorkloadError(f"{file}: params.{name}.default: {error}") from error
    for name, data in manifest_.dataset.items():
        _check_built_in(data, f"{file}: dataset.{name}")


def _check_built_in(data: BuiltIn, place: str) -> None:
    for key, value in data.params.items():
        try:
            data.accept(key, value)
        except ValueError as error:
            raise WorkloadError(f"{place}.{key}: {error}") from error


def _check_files(manifest_: Manifest, folder: Path, file: str) -> None:
    for key, names_ in (("entry", (manifest_.entry,)), ("files", manifest_.files)):
        for name in names_:
            path = PurePosixPath(name)
            if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name:
                raise WorkloadError(f"{file}: {key}: {quote(name)} is outside the folder")
            if path.parts[0] == COMMON:
                raise WorkloadError(f"{file}: {key}: {quote(name)}; {COMMON} is always bundled")
            if not (folder / name).is_file():
                raise WorkloadError(f"{file}: {key}: {quote(name)} does not exist there")
