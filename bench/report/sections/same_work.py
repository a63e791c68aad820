"""Is it the same work? The verdicts on all comparisons, with their evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.analysis.comparison.types import Check, Difference, Verdict
from bench.analysis.study_types import StudyAnalysis
from bench.report import format, html
from bench.report.charts.figures import Figure
from bench.report.markdown_blocks import bullets, safe, table
from bench.report.section import Section
from bench.report.tables import Column, Table

CHECKS = (
    Column[Check](title="quality", of=lambda c: c.name + (" (norm)" if c.name == "vector" else "")),
    Column[Check](title="one side", of=lambda c: f"{c.left:.9g}", number=True),
    Column[Check](title="other side", of=lambda c: f"{c.right:.9g}", number=True),
    Column[Check](title="difference", of=lambda c: f"{c.difference:.2g}", number=True),
    Column[Check](title="allowed", of=lambda c: f"{c.tolerance:.2g}", number=True),
    Column[Check](title="result", of=lambda c: "within" if c.passed else "too far"),
)
DIFFERENCES = (
    Column[Difference](title="difference", of=lambda d: d.name),
    Column[Difference](title="one side", of=lambda d: d.left),
    Column[Difference](title="other side", of=lambda d: d.right),
    Column[Difference](title="verdict", of=lambda d: _allowed(d)),
)
VERDICTS = (
    Column[Verdict](title="compared", of=lambda v: compared(v)),
    Column[Verdict](title="verdict", of=format.verdict_label),
    Column[Verdict](title="reasons", of=lambda v: "; ".join(v.reasons)),
    Column[Verdict](
        title="quality",
        of=lambda v: "; ".join(
            f"{c.name} {c.difference:.2g} apart ({c.tolerance:.2g} allowed)" for c in v.checks
        ),
    ),
)


class SameWork(Section):
    """The verdicts, each with its reasons, quality figures and differences."""

    name = "same-work"
    nav = "Same work?"
    template = "sections/same_work.html.j2"

    def remarks(self, analysis: StudyAnalysis) -> Iterable[str]:
        """Return the verdict on all comparisons."""
        return [equality(analysis.comparison.verdicts)]

    def view(self, analysis: StudyAnalysis) -> Mapping[str, object]:
        """Return the verdicts with their tables."""
        verdicts = analysis.comparison.verdicts
        return {
            "equality": equality(verdicts),
            "verdicts": [
                {
                    "of": verdict,
                    "label": format.verdict_label(verdict),
                    "kind": {True: "yes", False: "no", None: "unknown"}[verdict.comparable],
                    "checks": html.page_table(Table(columns=CHECKS, rows=verdict.checks)),
                    "differences": html.page_table(
                        Table(columns=DIFFERENCES, rows=verdict.differences)
                    ),
                }
                for verdict in verdicts
            ],
        }

    def markdown(self, analysis: StudyAnalysis, figures: Sequence[Figure]) -> Iterable[str]:
        """Return one row for each comparison, and what is noted on each."""
        verdicts = analysis.comparison.verdicts
        yield "## Is it the same work?"
        yield safe(equality(verdicts))
        if verdicts:
            yield table(Table(columns=VERDICTS, rows=verdicts))
        yield bullets(
            f"{compared(verdict)}: {note}" for verdict in verdicts for note in verdict.notes
        )


def _allowed(difference: Difference) -> str:
    note = f": {difference.note}" if difference.note else ""
    return f"{'allowed' if difference.allowed else 'not allowed'}{note}"


def compared(verdict: Verdict) -> str:
    """Return which curves a verdict is about."""
    return verdict.left if verdict.scope == "within" else f"{verdict.left} / {verdict.right}"


def equality(verdicts: Sequence[Verdict]) -> str:
    """Return the verdict on equality in one sentence."""
    if not verdicts:
        return "There is nothing to compare yet."
    no = sum(verdict.comparable is False for verdict in verdicts)
    unknown = sum(verdict.comparable is None for verdict in verdicts)
    names = dict.fromkeys(name for verdict in verdicts for name in verdict.accepted)
    accepted = format.accepted(list(names))
    if no:
        text = f"Not comparable: {no} of {len(verdicts)} comparisons are not of the same work"
    elif unknown:
        text = f"Not proven: {unknown} of {len(verdicts)} comparisons lack evidence"
    elif accepted:
        text = "Same work but for what was accepted"
    else:
        text = "Same work: all runs that are compared found the same model on the same data"
    return f"{text}{accepted}."
