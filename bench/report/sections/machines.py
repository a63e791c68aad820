"""What the runs ran on: machines, versions, the study's settings, sessions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

from bench.analysis.runs.types import SessionRow
from bench.analysis.study_types import StudyAnalysis
from bench.records.results import Machine
from bench.report import html
from bench.report.charts.figures import Figure
from bench.report.markdown_blocks import safe
from bench.report.section import Section
from bench.report.tables import Column, Table
from bench.text import plural
from bench.units import format_memory, format_moment

SHOWN_DIGITS = 12  # of a digest


def _code(text: str) -> Markup:
    return Markup("<code>{}</code>").format(text)


def _commit(session: SessionRow) -> str:
    commit = session.commit[:SHOWN_DIGITS] if session.commit else "not known"
    return commit + (" (changed)" if session.dirty else "")


SESSIONS = (
    Column[SessionRow](title="session", of=lambda s: s.session, html=lambda s: _code(s.session)),
    Column[SessionRow](title="started", of=lambda s: format_moment(s.started_at)),
    Column[SessionRow](
        title="host",
        of=lambda s: s.host[:SHOWN_DIGITS],
        html=lambda s: _code(s.host[:SHOWN_DIGITS]),
    ),
    Column[SessionRow](title="benchcast", of=lambda s: s.benchcast),
    Column[SessionRow](title="commit", of=_commit),
    Column[SessionRow](title="runs", of=lambda s: s.runs, number=True),
)


class Machines(Section):
    """Facts of machines, versions and study, and the list of sessions."""

    name = "machines"
    nav = "Machines"
    template = "sections/machines.html.j2"

    def view(self, analysis: StudyAnalysis) -> Mapping[str, object]:
        """Return the facts by kind."""
        return {
            "machines": [(_facts(m), m.digest[:SHOWN_DIGITS]) for m in analysis.machines],
            "versions": analysis.versions,
            "study": analysis.study,
            "facts": analysis.facts,
            "sessions": plural(len(analysis.sessions), "session"),
            "table": html.page_table(Table(columns=SESSIONS, rows=analysis.sessions)),
        }

    def markdown(self, analysis: StudyAnalysis, figures: Sequence[Figure]) -> Iterable[str]:
        """Return machines, versions and settings as a list."""
        lines = [
            f"- machine `{m.digest[:SHOWN_DIGITS]}`: {safe(m.cpu_model)}, {m.cores} cores, "
            f"{format_memory(m.memory)}, {safe(m.os)}"
            for m in analysis.machines
        ]
        facts = (*analysis.versions, *analysis.facts)
        lines += [f"- {safe(fact.name)}: {safe(fact.value)}" for fact in facts]
        return ["## Machines and versions", "\n".join(lines) or "Nothing was recorded."]


def _facts(machine: Machine) -> list[tuple[str, str]]:
    """Return what is known of a machine, name and value."""
    kernel = f", kernel {machine.kernel}" if machine.kernel else ""
    facts = [
        ("processor", machine.cpu_model),
        ("cores", str(machine.cores)),
        ("memory", format_memory(machine.memory)),
        ("system", f"{machine.os}{kernel}"),
        ("threads a core", str(machine.threads_per_core or "")),
        ("governor", machine.governor),
        ("virtualization", machine.virtualization),
        ("accelerators", ", ".join(machine.accelerators)),
    ]
    return [(name, value) for name, value in facts if value]
