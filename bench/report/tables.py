"""Runs and cells as CSV: one row each, times in seconds, an absent figure is an empty field."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from bench.analysis.runs.types import CellSummary, RunRow, Share
from bench.analysis.study_types import StudyAnalysis
from bench.records.study import PHASES
from bench.report.format import factors

Row = Mapping[str, object]


def runs(overview: StudyAnalysis) -> str:
    """Return every run, counted or not, in the order of their ids."""
    figures = dict.fromkeys(name for row in overview.runs for name in row.figures)
    return _csv([_run(row) for row in overview.runs], _run_fields(list(figures)))


def cells(overview: StudyAnalysis) -> str:
    """Return every cell with its interval, speed-up and medians."""
    labels = {curve.id: curve for curve in overview.curves}
    rows = []
    for one in overview.cells:
        curve = labels[one.curve]
        point = next(p for p in curve.points if p.workers == one.workers)
        scaling: dict[str, object] = {}
        for name, interval in (("speedup", point.speedup), ("efficiency", point.efficiency)):
            scaling[name] = interval.mid if interval else None
            scaling[f"{name}_low"] = interval.low if interval else None
            scaling[f"{name}_high"] = interval.high if interval else None
        rows.append({**_cell(one, curve.label), **scaling, **_medians(one)})
    names = dict.fromkeys(name for row in rows for name in row)
    return _csv(rows, list(names) or ["cell"])


def _cell(one: CellSummary, label: str) -> dict[str, object]:
    """Return a cell's own columns."""
    interval = one.seconds
    return {
        "cell": one.id,
        "curve": label,
        "workload": one.workload,
        "environment": one.environment,
        "workers": one.workers,
        "factors": factors({k: v for k, v in one.factors.items() if k != "workers"}),
        "n": one.counts.ok,
        "failed": one.counts.failed,
        "timeout": one.counts.timeout,
        "skipped": one.counts.skipped,
        "superseded": one.counts.superseded,
        "seconds": interval.mid if interval else None,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "level": interval.level if interval else None,
        "method": interval.method if interval else None,
        "which": one.which,
        "cv": one.cv,
        "cold": one.cold,
        "worker_cpu": one.worker_cpu,
        "wall": one.wall,
        "warmup_p": one.warmup.p if one.warmup else None,
        "doubts": "; ".join(f"{doubt.run}: {doubt.kind}" for doubt in one.doubts),
        "note": one.note,
    }


def _medians(one: CellSummary) -> dict[str, object]:
    """Return median seconds by phase and pipeline stage."""

    def columns(kind: str, shares: Iterable[Share]) -> dict[str, object]:
        return {f"{kind}.{share.name}": share.seconds for share in shares}

    return {**columns("phase", one.phases), **columns("stage", one.stages)}


def _run_fields(figures: Sequence[str] = ()) -> list[str]:
    """Return the columns of ``runs.csv``; ``figures`` are the numbers of quality."""
    plain = (
        "run cell workload environment workers factors repeat attempt status reason counted "
        "why_not seconds which cold"
    )
    more = ("workers_seen", "started_at", "session", "doubts")
    return [*plain.split(), *figures, *more, *(f"phase.{name}" for name in PHASES)]


def _run(row: RunRow) -> dict[str, object]:
    """Return one run's columns."""
    same = {name: getattr(row, name) for name in _run_fields() if hasattr(row, name)}
    return {
        **row.figures,
        **same,
        "started_at": row.started_at.isoformat(),
        "factors": factors(row.factors),
        "counted": "yes" if row.counted else "no",
        "doubts": "; ".join(f"{doubt.kind}: {doubt.text}" for doubt in row.doubts),
        "cold": row.passes[0] if row.passes else None,
        **{f"phase.{name}": value for name, value in row.phases.items()},
    }


def _csv(rows: Iterable[Row], names: list[str]) -> str:
    """Return CSV text with a header; None becomes an empty field, line breaks become spaces."""
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {k: " ".join(v.split()) if isinstance(v, str) else v for k, v in row.items()}
        )
    return out.getvalue()
