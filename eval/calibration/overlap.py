"""Bridges that calibration and test questions share: then the test is no test of unseen bridges, and says so loudly."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from correction.profile import Profile
from eval.questions import GoldQuestion
from eval.scoring import normalise
from eval.suite import Suite


def bridge_hashes(questions: Iterable[GoldQuestion]) -> list[str]:
    """Short hashes of the bridges, sorted: a profile says which bridges it has seen without spelling them."""
    return sorted({_hash(q.bridge) for q in questions if q.bridge})


def overlap(profile: Profile, suite: Suite) -> dict[str, Any]:
    """How many test questions are about a bridge that the profile was calibrated on; None if it does not say."""
    seen = profile.evidence.get("bridge_hashes")
    if seen is None:
        return {"questions": None, "bridges": None}
    known = set(seen)
    shared = [q.bridge for q in suite["test"] if q.bridge and _hash(q.bridge) in known]
    return {"questions": len(shared), "bridges": len(set(shared))}


def _hash(bridge: str) -> str:
    return sha256(normalise(bridge).encode()).hexdigest()[:12]
