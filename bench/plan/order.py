"""In which order the cells run: blocks, each one repeat of every case.

An environment is the whole plot of the experiment: all its blocks run before the next
environment's, unless environments alternate within blocks. Within a block the cases have an order
of its own that the study's seed decides, so that slow drift of the machine falls on all cases
alike (randomized complete blocks: Box, Hunter and Hunter, "Statistics for Experimenters", 2nd ed.
2005, chapter 4).
"""

from __future__ import annotations

import random

from bench.records.study import Study

Block = list[int]  # positions of cases in the study


def plots(study: Study) -> list[list[Block]]:
    """Return the whole plots in their order; each has a block a repeat.

    ``blocks``: a plot an environment. ``random``: one plot, whose blocks mix all environments.
    ``abba``: a plot an environment, and every second block is the one before it reversed, so that
    linear drift within a pair of blocks falls on all cases equally (A B B A).
    """
    if study.order == "random":
        everything = list(range(len(study.cases)))
        return [[_shuffled(study, "", everything, n) for n in range(study.repeats)]]
    return [_plot(study, environment.name) for environment in study.environments]


def _plot(study: Study, environment: str) -> list[Block]:
    indexes = [n for n, case in enumerate(study.cases) if case.environment == environment]
    blocks: list[Block] = []
    for repeat in range(study.repeats):
        if study.order == "abba" and repeat % 2:
            blocks.append(blocks[-1][::-1])
        else:
            blocks.append(_shuffled(study, environment, indexes, repeat))
    return blocks


def _shuffled(study: Study, environment: str, positions: Block, repeat: int) -> Block:
    block = positions[:]
    random.Random(f"{study.seed}/{environment}/{repeat}").shuffle(block)
    return block
