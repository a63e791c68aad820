"""The agent as one program: those modules of ours that it needs, standard library only besides."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

MODULES = (
    "bench.errors",
    "bench.hosts.kernel",
    "bench.hosts.cgroups",
    "bench.hosts.agentfiles",
    "bench.hosts.agentbuild",
    "bench.hosts.agent",
)
PACKAGES = ("bench", "bench.hosts")

_LOADER = """
import sys, types
if sys.version_info < (3, 10):
    sys.exit("it is Python %d.%d, and 3.10 or newer is needed" % sys.version_info[:2])
for name, text in sources:
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = []
    exec(compile(text, name, "exec"), module.__dict__)
module.serve()
"""


@functools.cache
def program() -> bytes:
    """Return Python that makes the modules under their own names, the agent last, and serves."""
    sources = [(name, "") for name in PACKAGES] + [(name, _source(name)) for name in MODULES]
    return f"sources = {sources!a}{_LOADER}".encode("ascii")


def _source(name: str) -> str:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")
