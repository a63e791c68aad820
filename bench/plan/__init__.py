"""Which cell is next. Pure: it knows the study and the runs so far, no files and no clocks."""

from __future__ import annotations

from bench.plan.auto import Auto
from bench.plan.estimate import Estimate
from bench.plan.fixed import Fixed, WideInterval, matches

__all__ = ["Auto", "Estimate", "Fixed", "WideInterval", "matches"]
