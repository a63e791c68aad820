"""Results as Parquet files that DuckDB, Spark and pandas read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bench.exporters import Export
from bench.records.results import Run

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]


def export(request: Export) -> Sequence[Path]:
    """Write one Parquet file for each kind of record: runs, cases, measurements, and so on.

    Times are seconds, moments UTC timestamps, memory bytes. ``run`` and ``case`` join the files.
    """
    import pyarrow as pa
    from pyarrow import parquet

    files = []
    for name, rows in _tables(request).items():
        table = pa.Table.from_pylist(list(rows), schema=_schema(pa, name))
        path = request.folder / f"{name}.parquet"
        parquet.write_table(table, path, compression="zstd")
        files.append(path)
    return files


def _tables(request: Export) -> Mapping[str, Iterable[Row]]:
    results = request.results
    return {
        "runs": (_run(request.study, run) for run in results.runs),
        "cases": (
            {"case": digest, **_labels(case), "settings": _text(case)}
            for digest, case in results.cases.items()
        ),
        "stages": (
            {"run": run.run, **msgspec.structs.asdict(stage)}
            for run in results.runs
            for stage in run.stages
        ),
        "measurements": (row for run in results.runs for row in _measurements(run)),
        "events": (
            {"run": run.run, **msgspec.structs.asdict(event)}
            for run in results.runs
            for event in run.events
        ),
        "machines": (
            {**msgspec.to_builtins(machine), "hypervisor": _pairs(machine.hypervisor)}
            for machine in results.machines.values()
        ),
    }


def _run(study: str, run: Run) -> Row:
    figures = run.quality.numbers if run.quality is not None else {}
    return {
        "study": study,
        **{name: getattr(run, name) for name in ("run", "session", "cluster", "origin", "attempt")},
        **{name: getattr(run.cell, name) for name in ("case", "key", "series", "curve", "repeat")},
        "workload": run.cell.workload,
        "environment": run.cell.environment,
        "status": run.status,
        "reason": run.reason,
        "started_at": run.started_at,
        "workers_wanted": run.workers_wanted,
        "workers_seen": run.workers_seen,
        "worker_cpu": run.worker_cpu,
        "passes": list(run.passes),
        "phases": _pairs(run.phases),
        "contention": _pairs(run.contention),
        "quality": _pairs(figures),
        "versions": _pairs(run.versions),
    }


def _measurements(run: Run) -> Iterator[Row]:
    for measurement in run.measurements:
        yield {
            "run": run.run,
            "metric": measurement.metric,
            "unit": measurement.unit,
            "phase": measurement.phase,
            "number": measurement.number,
            "item": measurement.item,
            "values": list(measurement.values),
            "edges": None if measurement.histogram is None else list(measurement.histogram.edges),
            "counts": None if measurement.histogram is None else list(measurement.histogram.counts),
        }


def _labels(case: msgspec.Struct) -> Row:
    names = ("workload", "environment", "program", "task", "engine", "kind", "workers", "passes")
    return {name: getattr(case, name) for name in names}


def _text(case: msgspec.Struct) -> str:
    """Return the whole case as JSON, because not every setting has a column."""
    return msgspec.json.encode(case, order="sorted").decode()


def _pairs(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return list(values.items())


def _schema(pa: Any, name: str) -> pa.Schema:
    """Return a table's columns; an empty column has a type too."""
    text, whole, number = pa.string(), pa.int64(), pa.float64()
    moment, numbers = pa.timestamp("us", tz="UTC"), pa.map_(pa.string(), pa.float64())
    texts = pa.map_(pa.string(), pa.string())
    columns: dict[str, dict[str, Any]] = {
        "runs": {
            **dict.fromkeys(("study", "run", "session", "cluster", "origin"), text),
            "attempt": whole,
            **dict.fromkeys(("case", "key", "series", "curve"), text),
            "repeat": whole,
            **dict.fromkeys(("workload", "environment", "status", "reason"), text),
            "started_at": moment,
            **dict.fromkeys(("workers_wanted", "workers_seen"), whole),
            "worker_cpu": number,
            "passes": pa.list_(number),
            **dict.fromkeys(("phases", "contention", "quality"), numbers),
            "versions": texts,
        },
        "cases": {
            **dict.fromkeys(("case", "workload", "environment", "program", "task"), text),
            **dict.fromkeys(("engine", "kind"), text),
            **dict.fromkeys(("workers", "passes"), whole),
            "settings": text,
        },
        "stages": {
            **dict.fromkeys(("run", "name"), text),
            "number": whole,
            **dict.fromkeys(("wall", "driver_cpu"), number),
        },
        "measurements": {
            **dict.fromkeys(("run", "metric", "unit", "phase"), text),
            "number": whole,
            "item": text,
            **dict.fromkeys(("values", "edges"), pa.list_(number)),
            "counts": pa.list_(whole),
        },
        "events": {"run": text, "at": moment, "kind": text, "text": text},
        "machines": {
            **dict.fromkeys(("digest", "cpu_model"), text),
            **dict.fromkeys(("cores", "memory"), whole),
            **dict.fromkeys(("os", "kernel"), text),
            "accelerators": pa.list_(text),
            "governor": text,
            "threads_per_core": whole,
            "virtualization": text,
            "hypervisor": texts,
        },
    }
    return pa.schema(list(columns[name].items()))
