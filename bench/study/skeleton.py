"""The study that `benchcast init` writes."""

from __future__ import annotations

_TEXT = """\
# A study: what runs where, how often. `benchcast plan` shows the runs,
# `benchcast run` does them (a second `run` continues), `benchcast report` shows the page.
title   = "Spark and TensorFlow logistic regression on this machine"
workers = [1, 2]                       # a list is a factor: every value is measured
repeats = 3                            # runs of each case; 5 or more give useful intervals
seed    = 7                            # of the order of the runs
# repeats = { width = 0.05, at_most = 20 }   # until every interval is that narrow (5 %)
# order   = "abba"                     # pairs of repeats run there and back; "blocks", "random"
# timeout = "30 min"                   # of one run
# retries = 1                          # of a failed run
# pause   = "10 s"                     # between runs
# sampling = "1 s"                     # of CPU, memory and so on: 100 ms to 1 min
# parallel = false                     # one environment after the other, also on machines apart
# limits  = { time = "2 h" }           # of the whole campaign

[[workload]]
use     = ["spark-logistic-regression", "tensorflow-logistic-regression"]
dataset = "flights"                    # or "synthetic", or a [dataset.NAME] of your own
params  = { tolerance = 1e-10, max_iterations = 500 }
# stages = "staged"                    # see where time goes; "fused" is the default

# [[workload]]
# use = "../jobs/churn"                # your own: a folder with workload.toml and main.py

[[environment]]
name   = "this-machine"
kind   = "local"
worker = { cores = 1, memory = "2 GiB" }
# conf = { "spark.sql.shuffle.partitions" = [8, 64] }
"""


def skeleton() -> str:
    """Return the text of a commented starting study for this machine."""
    return _TEXT
