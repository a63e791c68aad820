"""Renders what analysis found; computes nothing. ``write`` writes a report's folder."""

from bench.report.folder import write

__all__ = ["write"]
