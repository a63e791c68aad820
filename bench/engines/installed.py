"""Whether an engine's package is installed on this machine."""

from __future__ import annotations

import importlib.util

from bench.contracts import Engine, Finding
from bench.errors import MissingExtra


def missing(engine: Engine) -> list[Finding]:
    """Return a finding if this Python lacks the engine; it names the extra."""
    if importlib.util.find_spec(engine.package) is not None:
        return []
    gap = MissingExtra(engine.package, engine.extra)
    return [Finding(severity="error", scope="study", what=gap.what, remedy=gap.remedy)]
