"""Run a study: check -> open -> submit -> collect -> store -> close or adapt."""

from bench.runner.campaign import CampaignSummary, Listener, run
from bench.runner.preflight import PreparedStudy, prepare

__all__ = ["Listener", "PreparedStudy", "CampaignSummary", "prepare", "run"]
