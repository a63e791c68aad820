"""What attribution returns for a curve. Times are in seconds."""

from __future__ import annotations

import msgspec

from bench.analysis.attribution.attribution import Attribution, Part


class LossPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where one run's work went at ``workers`` workers; ``gap`` splits what it took beyond the
    ideal time (empty at the curve's smallest count).
    """

    workers: int
    run: str
    attribution: Attribution
    gap: tuple[Part, ...] = ()


class Losses(msgspec.Struct, frozen=True, kw_only=True):
    """What each added worker of a curve is lost to, a point for each worker count attributed."""

    label: str
    points: tuple[LossPoint, ...]
