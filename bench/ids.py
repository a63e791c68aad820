"""Identifiers that sort by time."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime


def new_id() -> str:
    """Return ``yymmdd-hhmmssmmm-xxxx``: UTC to the millisecond and 16 random bits."""
    now = datetime.now(UTC)
    return f"{now:%y%m%d-%H%M%S}{now.microsecond // 1000:03}-{secrets.token_hex(2)}"


def utc_now() -> datetime:
    """Return the time in UTC, to the millisecond."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
