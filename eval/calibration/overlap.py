"""Bridges that calibration and test questions share: then the test is no test of unseen bridges, and says so loudly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from correction.profile import Profile
from eval.questions import GoldQuestion
from eval.scoring import normalise


def bridge_hashes(questions: Iterable[GoldQuestion]) -> list[str]:
    """Short hashes of the bridges, sorted: a profile says which bridges it has seen without spelling them."""
    return sorted({_hash(q.bridge) for q in questions if q.bridge})


def overlap(profile: Profile, bridges: Iterable[str]) -> dict[str, Any]:
    """How many test questions, told by their bridges, are about one that the profile was calibrated on; None if it
    does not say."""
    seen = profile.evidence.get("bridge_hashes")
    if seen is None:
        return {"questions": None, "bridges": None}
    known = set(seen)
    shared = Counter(bridge for bridge in bridges if bridge and _hash(bridge) in known)
    return {"questions": shared.total(), "bridges": len(shared)}


def _hash(bridge: str) -> str:
    return sha256(normalise(bridge).encode()).hexdigest()[:12]
