"""Upgrades older results files: one function for each step from n - 1 to n.

A step takes the lines of one file, as JSON's own types, and yields those of the next schema. It
is pure, and never changes: a file of that schema is the same for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from bench.records import identity
from bench.records.results import SCHEMA
from bench.records.study import Case, Cell

Raw = dict[str, Any]
Step = Callable[[Iterable[Raw]], Iterator[Raw]]

_GIB = 1 << 30
MOST_REPEATS = 1_000_000
_FIGURES = ("objective", "auc", "iterations", "converged", "vector")
_POLICY = ("timeout", "retries", "reuse", "pause")


def upgraded(lines: Iterable[Raw], schema: int) -> Iterator[Raw]:
    """Return the lines of a file of this schema (from 1 on) as the present schema has them."""
    for step in _STEPS[schema - 1 :]:
        lines = step(lines)
    yield from lines


def _to_2(lines: Iterable[Raw]) -> Iterator[Raw]:
    """Store cases by digest, make keys by ``records.identity``, name quality's figures."""
    file = _File1()
    for line in lines:
        match line.get("record"):
            case "session":
                yield file.session(line)
            case "machine":
                file.machines[line["digest"]] = line
                yield _renamed(line, "under", "hypervisor")
            case "bundle":
                file.bundles[line["digest"]] = line
                limits = {"tolerances": line.pop("quality", {}), "requires": {"converged": True}}
                yield {**line, "quality": limits}
            case "cluster":
                uses = line.get("machines", [])
                yield {
                    **line,
                    "machines": [_renamed(use, "made", "provision_seconds") for use in uses],
                }
            case "run":
                yield from file.run(line)
            case _:
                yield line


class _File1:
    """The lines of a schema 1 file so far, which later lines refer to."""

    def __init__(self) -> None:
        self.machines: dict[str, Raw] = {}
        self.bundles: dict[str, Raw] = {}
        self._cases: dict[tuple[object, ...], Raw] = {}
        self._environments: dict[str, Raw] = {}
        self._stored: dict[bytes, list[Cell]] = {}

    def session(self, line: Raw) -> Raw:
        """Keep the study's cases; they become lines of their own when a run names them."""
        study = line["study"]
        self._environments = {entry["name"]: entry for entry in study["environments"]}
        self._cases = {_place(case): case for case in study.get("cases", [])}
        environments = [
            {
                "name": entry["name"],
                "kind": entry["kind"],
                "settings": entry.get("settings", {}),
                "keyed": _keyed(entry),
            }
            for entry in study["environments"]
        ]
        kept = {**study, "cases": [], "environments": environments}
        return {**line, "schema": 2, "study": kept}

    def run(self, line: Raw) -> Iterator[Raw]:
        """Yield the run, and its case before it where no run had it yet."""
        case = msgspec.convert(self._case(line), Case)
        repeat = line["cell"]["repeat"]
        if not 0 <= repeat < MOST_REPEATS:
            raise ValueError(f"repeat {repeat} is not between 0 and {MOST_REPEATS}")
        seen = msgspec.json.encode(case)
        if len(self._stored.get(seen, ())) <= repeat:
            if seen not in self._stored:
                yield {"record": "case", **msgspec.to_builtins(identity.case_line(case))}
            self._stored[seen] = identity.cells(case, 2 * repeat + 1)
        cell = self._stored[seen][repeat]
        digests = line.get("digests")
        if digests is not None:
            dataset = digests.pop("dataset", None)
            digests = {**digests, "datasets": {} if dataset is None else {"train": dataset}}
        yield {
            **_renamed(line, "marks", "events"),
            "cell": msgspec.to_builtins(cell),
            "digests": digests,
            "quality": _figures(line.get("quality")),
        }

    def _case(self, line: Raw) -> Raw:
        """Return a run's case; if its session does not have it, rebuild it from the run."""
        old = self._cases.get(_place(line["cell"]), _case_of(line))
        digests = line.get("digests") or {}
        bundle = digests.get("bundle", "")
        spec = self._environments.get(old["environment"], {"kind": "unknown"})
        program = self.bundles.get(bundle, {}).get("workload", old["use"])
        kept = {key: value for key, value in old.items() if key not in (*_POLICY, "dataset")}
        return {
            **kept,
            "program": program,
            "task": digests.get("task", ""),
            "bundle": bundle,
            "datasets": {"train": old["dataset"]},
            "kind": spec["kind"],
            "settings": _keyed(spec),
            "machines": self._identity(spec["kind"], line),
            "policy": {key: old[key] for key in _POLICY if key in old},
        }

    def _identity(self, kind: str, line: Raw) -> dict[str, str]:
        """Return the facts of machines that were in the keys of this kind."""
        machines = [
            self.machines[digest] for digest in line.get("machines", ()) if digest in self.machines
        ]
        if not machines:
            machines = list(self.machines.values())
        if kind == "fake":
            return {"cpu_model": "none (fake)"}
        if kind != "local" or not machines:
            return {}
        return {
            "cpu_model": machines[0]["cpu_model"],
            "cores": str(machines[0]["cores"]),
            "memory": f"{round(machines[0]['memory'] / _GIB)} GiB",
        }


def _place(labels: Raw) -> tuple[object, ...]:
    """Return what distinguishes a case in its study: labels, workers and factors."""
    factors = tuple(sorted((path, repr(value)) for path, value in labels["factors"].items()))
    return labels["workload"], labels["environment"], labels["workers"], factors


def _case_of(line: Raw) -> Raw:
    """Return the part of a case that a run alone contains."""
    cell = line["cell"]
    return {
        **{name: cell[name] for name in ("workload", "environment", "workers", "factors")},
        "use": cell["workload"],
        "engine": "",
        "worker": {},
        "driver": {},
        "dataset": {"name": "unknown"},
    }


def _keyed(spec: Raw) -> Raw:
    """Return an environment's settings without those outside the key."""
    paths = spec.get("unkeyed", ())
    settings: Raw = spec.get("settings", {})
    for path in paths:
        settings = _dropped(settings, path.split("."))
    return settings


def _dropped(value: Any, path: list[str]) -> Any:
    if isinstance(value, list):
        return [_dropped(entry, path) for entry in value]
    if not isinstance(value, dict):
        return value
    head, *rest = path
    if not rest:
        return {key: entry for key, entry in value.items() if key != head}
    return {key: _dropped(entry, rest) if key == head else entry for key, entry in value.items()}


def _figures(quality: Raw | None) -> Raw | None:
    """Return quality as named figures; what was not reported is absent."""
    if quality is None:
        return None
    figures = {name: quality[name] for name in _FIGURES if quality.get(name) is not None}
    return {"figures": figures, "precision": quality.get("precision", "float64")}


def _renamed(line: Raw, old: str, new: str) -> Raw:
    return {new if key == old else key: value for key, value in line.items()}


_STEPS: tuple[Step, ...] = (_to_2,)
assert len(_STEPS) == SCHEMA - 1  # every step there is
