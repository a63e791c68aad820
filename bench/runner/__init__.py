"""Run a study: check -> open -> submit -> collect -> store -> close or adapt."""

from bench.runner.campaign import run
from bench.runner.preflight import PreparedStudy, prepare
from bench.runner.progress import CampaignSummary, Listener
from bench.runner.resolve import ResolvedStudy, resolve

__all__ = [
    "CampaignSummary",
    "Listener",
    "PreparedStudy",
    "ResolvedStudy",
    "prepare",
    "resolve",
    "run",
]
