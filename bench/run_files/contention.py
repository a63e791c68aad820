"""CPU that a machine withheld from a run: steal, unrequested quotas, co-tenants."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from bench.ids import utc_now
from bench.records.results import RunEvent

CONSIDERABLE = 0.02  # share of the wanted CPU time above which a run gets an event
RATES = ("cpu_user", "cpu_system", "cpu_steal", "cpu_others", "throttled")
Columns = Mapping[str, Sequence[object]]


def read(samples: Path, limited: Collection[str] = ()) -> dict[str, float]:
    """Return ``measure`` of a run's ``samples.parquet``; empty if it cannot be read."""
    try:
        from pyarrow import parquet

        columns = parquet.read_table(samples).to_pydict()
    except (OSError, ValueError, ImportError):  # pyarrow's errors are ValueErrors
        return {}
    return measure(columns, limited)


def measure(columns: Columns, limited: Collection[str] = ()) -> dict[str, float]:
    """Return the CPU that a machine withheld during launch and work; unknown figures are absent.

    ``steal``: CPU time that the hypervisor gave to others over the CPU time that the machine
    wanted (used + stolen), 0..1. ``throttled``: the same of quotas, by scope; scopes of the roles
    in ``limited`` ("driver", "worker") have a requested quota and are left out. A quota around
    several scopes counts in each. ``others``: mean cores' worth of CPU of processes outside the
    run. Each is the value of the most affected machine or scope. Machines are the scopes "host"
    and, if there are several, "host:<the first scope on it>".
    """
    totals = _totals(columns)
    hosts = [total for scope, total in totals.items() if _is_machine(scope)]
    free = [
        total
        for scope, total in totals.items()
        if not _is_machine(scope) and scope.partition("-")[0] not in limited
    ]
    shares: dict[str, list[float | None]] = {
        "steal": [_share(total, "cpu_steal") for total in hosts],
        "others": [
            total["cpu_others"] / total["seconds"] for total in hosts if "cpu_others" in total
        ],
        "throttled": [_share(total, "throttled") for total in free],
    }
    present = {name: [v for v in values if v is not None] for name, values in shares.items()}
    return {name: max(values) for name, values in present.items() if values}


def _is_machine(scope: str) -> bool:
    return scope.partition(":")[0] == "host"


def events(shares: Mapping[str, float], already: Collection[str] = ()) -> list[RunEvent]:
    """Return an event for each considerable share; kinds in ``already`` are not repeated."""
    now = utc_now()
    causes = {"steal": "the hypervisor", "throttled": "a quota that the study does not set"}
    return [
        RunEvent(
            at=now,
            kind=kind,
            text=f"{cause} withheld {shares[kind]:.1%} of the CPU time that the run wanted",
        )
        for kind, cause in causes.items()
        if shares.get(kind, 0.0) > CONSIDERABLE and kind not in already
    ]


def _totals(columns: Columns) -> dict[str, dict[str, float]]:
    """Return by scope the time integral of each rate, and the ``seconds`` it is over."""
    totals: dict[str, dict[str, float]] = {}
    for i, (scope, moment) in enumerate(zip(columns["scope"], columns["t"], strict=True)):
        if not isinstance(moment, float):
            continue
        total = totals.setdefault(str(scope), {"seconds": 0.0})
        step = moment - total["seconds"]  # the first sample is over all the time before it
        total["seconds"] = moment
        for column in RATES:
            value = columns[column][i] if column in columns else None
            if isinstance(value, float):
                total[column] = total.get(column, 0.0) + value * step
    return totals


def _share(total: Mapping[str, float], name: str) -> float | None:
    """Return the withheld share of the wanted CPU; None if unknown or nothing was wanted."""
    if not {"cpu_user", "cpu_system", name} <= set(total):
        return None
    wanted = total["cpu_user"] + total["cpu_system"] + total[name]
    return total[name] / wanted if wanted > 0 else None
