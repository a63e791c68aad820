"""The report as Markdown: headline, verdicts, cells, figures, machines, what is not known."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis.runs.types import CellSummary
from bench.analysis.study_types import StudyAnalysis
from bench.report import caveats, format
from bench.report.figures import Figure


def render(overview: StudyAnalysis, figures: Sequence[Figure] = ()) -> str:
    """Return the report's text; pictures are linked by their relative place."""
    parts = [f"# {_safe(overview.title)}", _safe(format.counts(overview)) + "."]
    parts.append("\n".join(f"- {_safe(line)}" for line in format.headline(overview)))
    parts += [
        "## Is it the same work?",
        _safe(format.equality(overview.verdicts)),
        _verdicts(overview),
    ]
    parts += ["## Cells", _cells(overview)]
    parts.append("\n".join(f"- {_safe(format.made(one))}" for one in overview.made))
    parts.append("\n".join(f"- {_safe(line)}" for line in caveats.sentences(overview)))
    parts.append(_safe(f"Tested: {caveats.tested(overview)}") if overview.cells else "")
    parts += [
        f"## {_safe(one.title)}\n\n![{_safe(one.alt)}](figures/{one.name}.svg)\n\n"
        f"{_safe(one.caption)}"
        for one in figures
    ]
    if overview.losses:
        parts += ["## What added workers are lost to"]
        parts += ["\n".join(f"- {_safe(line)}" for line in format.losses(overview))]
        parts += ["\n".join(f"- {_safe(note)}" for note in format.loss_notes(overview))]
    parts += ["## Machines and versions", _facts(overview)]
    lost = [row for row in overview.runs if not row.counted]
    if lost:
        rows = [[row.run, row.status, row.why_not, row.reason] for row in lost]
        parts += ["## Runs that do not count", _table(["run", "status", "why", "reason"], rows)]
    if overview.unknown:
        parts += ["## What is not known", "\n".join(f"- {_safe(x)}" for x in overview.unknown)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _verdicts(overview: StudyAnalysis) -> str:
    """Return one row a comparison, and what is noted on each."""
    rows, notes = [], []
    for one in overview.verdicts:
        what = one.left_label if one.scope == "within" else f"{one.left_label} / {one.right_label}"
        checks = [
            f"{c.name} {c.difference:.2g} apart ({c.tolerance:.2g} allowed)" for c in one.checks
        ]
        rows.append([what, format.word(one), "; ".join(one.reasons), "; ".join(checks)])
        notes += [f"- {_safe(what)}: {_safe(note)}" for note in one.notes]
    if not rows:
        return ""
    table = _table(["compared", "verdict", "reasons", "quality"], rows)
    return "\n\n".join([table, "\n".join(notes)]) if notes else table


def _cells(overview: StudyAnalysis) -> str:
    """Return one row a cell."""
    labels = {curve.id: curve for curve in overview.curves}
    rows = []
    for one in overview.cells:
        curve = labels[one.curve]
        point = next(p for p in curve.points if p.workers == one.workers)
        rows.append(
            [
                curve.label,
                str(one.workers),
                str(one.counts.ok),
                str(one.counts.failed + one.counts.timeout),
                format.middle(one.seconds, "s"),
                format.span(one.seconds, "s"),
                format.percent(one.cv),
                caveats.work(one),
                format.middle(point.speedup),
                format.percent(point.efficiency.mid if point.efficiency else None),
                _phases(one),
            ]
        )
    head = "curve,workers,n,failed,time,interval,CV,wall / CPU,speed-up,efficiency,phases (median)"
    return _table(head.split(","), rows) if rows else "No cells."


def _phases(one: CellSummary) -> str:
    """Return the medians of a cell's phases in one text."""
    return ", ".join(f"{share.name} {format.seconds(share.seconds)}" for share in one.phases)


def _facts(overview: StudyAnalysis) -> str:
    """Return machines, versions and study facts as a list."""
    lines = [
        f"- machine `{m.digest[:12]}`: {_safe(m.cpu_model)}, {m.cores} cores, "
        f"{format.memory(m.memory)}, {_safe(m.os)}"
        for m in overview.machines
    ]
    lines += [f"- {_safe(f.name)}: {_safe(f.value)}" for f in (*overview.versions, *overview.facts)]
    return "\n".join(lines) or "Nothing was recorded."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_safe(cell) for cell in line) + " |" for line in lines)


def _safe(text: str) -> str:
    """Return text on one line that Markdown does not take for markup."""
    flat = " ".join(text.split()).replace("\\", "\\\\").replace("<", "&lt;")
    for sign in "|[]*`":
        flat = flat.replace(sign, "\\" + sign)
    return flat
