"""The last line of a calibration: deploy, or use two_step, with what to expect."""

from __future__ import annotations

from typing import Any

from correction.profile import Profile
from eval.calibration.deciding import BROKEN

LOSS = 0.01  # deployed may be this much below two_step and still be worth it
TIMES = 4  # what two_step breaks over what deployed does, from which its accuracy no longer counts
MOST_COST = 1.1  # of two_step's, unless it answers more


def worth_deploying(evidence: dict[str, Any]) -> bool:
    """Whether patching corrects more than the plain answer, and about as much as the text pipeline at no more cost.

    It may correct less where the text pipeline breaks too much of what the model has right by itself, and four times
    what patching breaks.
    """
    deployed, two_step, direct = (evidence[name] for name in ("cross_validated", "two_step", "direct"))
    if deployed <= direct:
        return False
    lost, ours = evidence["two_step_broken"], evidence["broken"]
    if lost > BROKEN * evidence["direct_right"] and lost >= TIMES * ours:
        return True
    return bool(deployed > two_step or (deployed >= two_step - LOSS and evidence["cost"] <= MOST_COST))


def advised(evidence: dict[str, Any]) -> str:
    """The strategy of the profile: a patch where that is worth it, else what is right more often without one."""
    if worth_deploying(evidence):
        return "deployed"
    return "two_step" if evidence["two_step"] > evidence["direct"] else "direct"


def verdict(profile: Profile) -> str:
    """One line: deploy or use two_step, with expected gain, breakage and cost as far as the profile has evidence."""
    evidence = profile.evidence
    advice = "deploy" if profile.strategy == "deployed" else f"use {profile.strategy}"
    beside = f" (two_step {evidence['two_step_broken']})" if "two_step_broken" in evidence else ""
    try:
        return (
            f"{advice}: {evidence['direct']:.1%} -> {evidence['cross_validated']:.1%} expected on unseen bridges "
            f"(two_step {evidence['two_step']:.1%}), "
            f"{evidence['broken']} of {evidence['direct_right']} right answers broken{beside}, "
            f"{evidence['cost']:.2f} times the computing of two_step where that is right"
        )
    except (KeyError, TypeError, ValueError) as error:  # written by hand, or by another hopfix
        return f"{advice}, on evidence that is not in the profile ({error})"
