"""How long the machines of clusters took to be made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.analysis.runs.types import ProvisionTimes
from bench.analysis.study_types import StudyAnalysis
from bench.report.charts.figures import Figure
from bench.report.format import seconds
from bench.report.markdown_blocks import bullets
from bench.report.section import Section
from bench.text import plural


class Provisioning(Section):
    """A sentence for each environment whose machines were made for its clusters."""

    name = "provisioning"
    template = "sections/provisioning.html.j2"

    def applies(self, analysis: StudyAnalysis) -> bool:
        """Say whether any machine was made."""
        return bool(analysis.provisioning)

    def view(self, analysis: StudyAnalysis) -> Mapping[str, object]:
        """Return the sentences."""
        return {"sentences": [provision_sentence(provision) for provision in analysis.provisioning]}

    def markdown(self, analysis: StudyAnalysis, figures: Sequence[Figure]) -> Iterable[str]:
        """Return the sentences as a list."""
        return [bullets(provision_sentence(provision) for provision in analysis.provisioning)]


def provision_sentence(provision: ProvisionTimes) -> str:
    """Return how long an environment's machines took to be made, in a sentence."""
    what = (
        f"{provision.kind} {'clone' if provision.count == 1 else 'clones'}"
        if provision.kind
        else "made"
    )
    times = f"{seconds(provision.median)} each (median), {seconds(provision.longest)} at most"
    machines = plural(provision.count, "machine")
    return f"{provision.environment}, to provision: {machines}, {what}, {times}."
