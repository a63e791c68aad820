"""What the report opens with: the answer in sentences, and how many runs it rests on."""

from __future__ import annotations

from bench.analysis.study_types import StudyAnalysis
from bench.report.sections import SECTIONS
from bench.text import plural


def answer(analysis: StudyAnalysis) -> list[str]:
    """Return the answer in plain sentences, those of each section in turn."""
    if not analysis.runs:
        return ["Nothing has been measured yet."]
    return [
        sentence
        for section in SECTIONS
        if section.applies(analysis)
        for sentence in section.answer(analysis)
    ]


def remarks(analysis: StudyAnalysis) -> list[str]:
    """Return what to keep in mind with the answer: the verdict on equality, doubts."""
    return [
        sentence
        for section in SECTIONS
        if section.applies(analysis)
        for sentence in section.remarks(analysis)
    ]


def counts(analysis: StudyAnalysis) -> str:
    """Return how many runs count and how the others ended."""
    c = analysis.counts
    parts = [f"{plural(len(analysis.runs), 'run')}, {c.ok} counted"]
    named = (("failed", c.failed), ("timed out", c.timeout), ("skipped", c.skipped))
    parts += [f"{many} {name}" for name, many in (*named, ("superseded", c.superseded)) if many]
    if analysis.planned is not None:
        parts.append(f"{analysis.planned} planned")
    return ", ".join(parts)
