"""`hopfix profile show`, and the card that `push` adds, of profiles that have less evidence than ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from correction.profile import Profile
from eval.calibration.card import card
from eval.commands.profile import show


@pytest.mark.parametrize("missing", ["everything", "cost", "questions"])
def test_what_evidence_there_is_is_shown(
    tmp_path: Path, demo_profile: Profile, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = {name: value for name, value in demo_profile.evidence.items() if missing not in (name, "everything")}
    profile = replace(demo_profile, evidence=kept)
    profile.save(tmp_path)
    show(str(tmp_path))
    shown = capsys.readouterr().out
    assert ("unknown over" in shown) == (missing != "cost")
    says = "deploy: " if missing == "questions" else "deploy, on evidence that is not in the profile"
    assert says in shown
    assert says in card(profile, "org/two-hop", "apache-2.0", report="")
