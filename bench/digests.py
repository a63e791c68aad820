"""Canonical JSON, and the sha256 of it: one text and one digest for one value."""

from __future__ import annotations

import hashlib
import json

import msgspec


def dumps(value: object) -> bytes:
    """Return canonical JSON: keys sorted, no spaces, ASCII, floats by ``repr``.

    Takes JSON's own types and msgspec structs; raises ValueError for NaN and infinity, and
    TypeError for what JSON does not know. 1 and 1.0 are different values.
    """
    plain = msgspec.to_builtins(value, str_keys=True, order="deterministic")
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def digest(value: object) -> str:
    """Return the sha256 (64 hexadecimal digits) of the value's canonical JSON."""
    return hashlib.sha256(dumps(value)).hexdigest()
