"""Text for people: counted nouns, quoted values, reasons without folders."""

from __future__ import annotations

import json
import re

_SHOWN_CHARACTERS = 60
_PATH = re.compile(r"(?<![\w:/.])/(?:[\w.@+-]+/)+")


def plural(count: int, noun: str) -> str:
    """Return a number of things: "1 worker", "2 workers"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def quote(value: object) -> str:
    """Return a value as a person wrote it in TOML, at most 60 characters, on one line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def redact(text: str, most: int = 300) -> str:
    """Return at most so many characters, in a line, with the folders of absolute paths left out."""
    return _PATH.sub(".../", " ".join(text.split()))[:most]
