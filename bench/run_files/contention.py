"""What a machine withheld from a run: steal, quotas that nobody asked for, co-tenants."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from bench.ids import utc_now
from bench.records.results import RunEvent

CONSIDERABLE = 0.02  # share of the CPU time wanted from which a run is marked
RATES = ("cpu_user", "cpu_system", "cpu_steal", "cpu_others", "throttled")
Columns = Mapping[str, Sequence[object]]


def read(samples: Path, limited: Collection[str] = ()) -> dict[str, float]:
    """Return ``measure`` of a run's ``samples.parquet``; nothing where it cannot be read."""
    try:
        import pyarrow.parquet as parquet

        columns = parquet.read_table(samples).to_pydict()
    except (OSError, ValueError, ImportError):  # pyarrow's errors are ValueErrors
        return {}
    return measure(columns, limited)


def measure(columns: Columns, limited: Collection[str] = ()) -> dict[str, float]:
    """Return what samples say of launch and work together; what they do not say is absent.

    ``steal``: CPU time that the hypervisor gave to others over the CPU time that the machine
    wanted (used + stolen), 0..1. ``throttled``: the same of quotas, by scope; scopes of the roles
    in ``limited`` ("driver", "worker") asked for theirs and are left out. A quota around several
    scopes counts in each. ``others``: mean cores' worth of CPU that processes used which are not
    the run's. Each is that of the machine or scope that it hit most. Machines are the scopes
    "host" and, where there are several, "host:<the first scope on it>".
    """
    totals = _totals(columns)
    hosts = [one for scope, one in totals.items() if _is_machine(scope)]
    free = [
        one
        for scope, one in totals.items()
        if not _is_machine(scope) and scope.partition("-")[0] not in limited
    ]
    shares: dict[str, list[float | None]] = {
        "steal": [_share(one, "cpu_steal") for one in hosts],
        "others": [one["cpu_others"] / one["seconds"] for one in hosts if "cpu_others" in one],
        "throttled": [_share(one, "throttled") for one in free],
    }
    known = {name: [v for v in found if v is not None] for name, found in shares.items()}
    return {name: max(found) for name, found in known.items() if found}


def _is_machine(scope: str) -> bool:
    return scope.partition(":")[0] == "host"


def events(found: Mapping[str, float], already: Collection[str] = ()) -> list[RunEvent]:
    """Return an event for each considerable share; kinds in ``already`` are not repeated."""
    now = utc_now()
    causes = {"steal": "the hypervisor", "throttled": "a quota that the study does not ask for"}
    return [
        RunEvent(
            at=now,
            kind=kind,
            text=f"{cause} withheld {found[kind]:.1%} of the CPU time that the run wanted",
        )
        for kind, cause in causes.items()
        if found.get(kind, 0.0) > CONSIDERABLE and kind not in already
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
    """Return what was withheld over what was wanted; None where unknown or nothing was wanted."""
    if not {"cpu_user", "cpu_system", name} <= set(total):
        return None
    wanted = total["cpu_user"] + total["cpu_system"] + total[name]
    return total[name] / wanted if wanted > 0 else None
