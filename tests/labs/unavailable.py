"""What ``make lab`` found that this machine cannot host: a note in the user's cache.

A failed download or build is another matter: fix it, do not skip it.
"""

from __future__ import annotations

import json

from bench.directories import cache_root, host_id

# Fixed at import: tests give the code under test caches of its own.
PLACE = cache_root() / "lab" / "cannot.json"
HOSTS, VCENTER = "the lab's hosts", "the lab's vCenter"


def tell(peer: str, reason: str | None) -> None:
    """Note why this machine cannot host a peer, or (None) that it can."""
    known = {name: why for name, why in read().items() if name != peer}
    known |= {peer: reason} if reason is not None else {}
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    PLACE.write_text(json.dumps({"machine": host_id(), "cannot": known}, indent=1) + "\n")


def read() -> dict[str, str]:
    """Return peer -> why this machine cannot host it; a note of another machine says nothing."""
    if not PLACE.is_file():
        return {}
    told = json.loads(PLACE.read_text())
    cannot: dict[str, str] = told["cannot"] if told["machine"] == host_id() else {}
    return cannot


def impossible(peer: str) -> bool:
    """Return whether the lab said so of a peer; "the lab" is both, and lacks where one does."""
    return any(peer.startswith((name, "the lab (")) for name in read())
