"""Packs the agent's modules into one script that needs only the standard library."""

from __future__ import annotations

import functools
from pathlib import Path

import bench
from bench.hosts import agent

BOOT = (  # for an interpreter's -c: reads the program's length and the program
    "import sys;n=int(sys.stdin.buffer.readline());"
    "exec(compile(sys.stdin.buffer.read(n),'benchcast-agent','exec'))"
)
_SCRIPTS = ("program", "sampler", "gpu_sampler")  # not part of the agent: samplers run on their own
_LOADER = """
import sys
if sys.version_info < (3, 10):
    sys.exit("it is Python %d.%d, and 3.10 or newer is needed" % sys.version_info[:2])
import importlib.util
class Packed:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in sources:
            return importlib.util.spec_from_loader(name, Packed, is_package=not sources[name])
    @staticmethod
    def create_module(spec):
        return None
    @staticmethod
    def exec_module(module):
        exec(compile(sources[module.__name__], module.__name__, "exec"), module.__dict__)
sys.meta_path.insert(0, Packed)
from bench.hosts.agent.main import serve
serve()
"""


@functools.cache
def program() -> bytes:
    """Return Python that imports the modules under their own names, and serves."""
    return f"sources = {_sources()!a}{_LOADER}".encode("ascii")


def message() -> bytes:
    """Return the input of ``BOOT``, with the agent's first request: its facts."""
    source = program()
    return f"{len(source)}\n".encode() + source + b'{"op": "facts"}\n'


def _sources() -> dict[str, str]:
    """Return module -> text; a package's is empty."""
    sources = {"bench": "", "bench.hosts": "", agent.__name__: ""}
    sources["bench.errors"] = (Path(bench.__file__).parent / "errors.py").read_text("utf-8")
    for path in sorted(Path(agent.__file__).parent.glob("*.py")):
        if path.stem not in ("__init__", *_SCRIPTS):
            sources[f"{agent.__name__}.{path.stem}"] = path.read_text("utf-8")
    return sources
