"""The command ``benchcast``: one small file a verb; the only place that catches BenchError."""

from bench.cli.app import main

__all__ = ["main"]
