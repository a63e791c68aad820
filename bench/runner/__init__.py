"""Run a study: check -> open -> submit -> collect -> store -> close or adapt."""

from bench.runner.campaign import Listener, Tally, run
from bench.runner.prepare import Prepared, prepare

__all__ = ["Listener", "Prepared", "Tally", "prepare", "run"]
