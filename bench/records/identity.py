"""The definition of equal cells, series and curves; nothing else derives a key.

Labels, paths, prices, warm-ups and policy are in no key: renaming a dataset, an environment or a
workload's folder measures nothing again.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bench.digests import digest
from bench.records.results import CaseLine
from bench.records.study import Case, Cell, Dataset

# Every field of Case is in exactly one of these; a test holds them to it.
MEASURED = (
    *("program", "task", "engine", "bundle", "params", "datasets", "kind", "settings", "machines"),
    *("workers", "worker", "driver", "conf", "versions", "passes", "stages"),
)
NOT_MEASURED = ("workload", "environment", "use", "factors", "warmups", "policy")

_NOT_IN_SERIES = ("bundle", "versions")  # a series follows a case through their changes
_NOT_IN_CURVE = ("bundle", "workers")  # runs of an older bundle are superseded, not a curve


def cells(case: Case, repeats: int) -> list[Cell]:
    """Return the cells of a resolved case, one for each repeat."""
    facts = measured(case)
    cell, series = digest(facts), digest(_without(facts, _NOT_IN_SERIES))
    curve, of = curve_key(case), digest(case)
    return [
        Cell(
            key=digest([cell, repeat]),
            series=series,
            curve=curve,
            case=of,
            workload=case.workload,
            environment=case.environment,
            workers=case.workers,
            factors=case.factors,
            repeat=repeat,
        )
        for repeat in range(repeats)
    ]


def curve_key(case: Case) -> str:
    """Return the key of a case's curve: equal for all worker counts."""
    return digest(_without(measured(case), _NOT_IN_CURVE))


def case_line(case: Case) -> CaseLine:
    """Return the line that stores a case by its digest."""
    return CaseLine(digest=digest(case), case=case)


def measured(case: Case) -> dict[str, object]:
    """Return everything that distinguishes a case's cells, without labels."""
    facts = {name: getattr(case, name) for name in MEASURED}
    facts["datasets"] = {role: _data(data) for role, data in case.datasets.items()}
    plain: dict[str, object] = msgspec.to_builtins(facts)
    return plain


def _data(data: Dataset) -> Mapping[str, object]:
    """Return a dataset without its label; a name alone is no label, the workload knows it."""
    if data.source is not None:
        source: Mapping[str, object] = msgspec.to_builtins(data.source)
        return {"source": {key: value for key, value in source.items() if key != "credentials"}}
    return {"data": data.generator or data.name, "params": data.params}


def _without(facts: Mapping[str, object], names: tuple[str, ...]) -> dict[str, object]:
    return {name: value for name, value in facts.items() if name not in names}
