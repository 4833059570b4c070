"""Profiles shared on the hub: pushed, shown, pulled and served by the command as it is, the hub a stand-in here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from errno import ENOSPC
from pathlib import Path
from typing import Any

import httpx
import pytest

from correction.models import demo_profile_folder
from eval.commands.profile import pull
from tests.hub import READER, TOKEN, Repositories, commit, serving

NAME = "models/org/two-hop"
FILES = {path.name: path.read_bytes() for path in demo_profile_folder().iterdir()}
ALL_OF = """
import json, os, sys
from service.cli import main
for arguments, token in json.loads(sys.argv[1]):
    os.environ["HF_TOKEN"], sys.argv = token, ["hopfix", *arguments]
    try:
        main()
    except SystemExit as ended:
        print(ended.code)
"""
WALKMAN = "Who runs the company that makes the Walkman?"


class Hub:
    """The stand-in, and the command with an empty cache."""

    def __init__(self, url: str, stored: Repositories, cache: Path, run: Any) -> None:
        self.url, self.stored, self.cache, self.run = url, stored, cache, run

    def __call__(self, *arguments: object, **environment: str) -> Any:
        given = {"HF_ENDPOINT": self.url, "HF_HOME": str(self.cache), "HF_TOKEN": "", **environment}
        done = self.run(*map(str, arguments), **given)
        assert "Traceback" not in done.stderr, done.stderr
        return done


@pytest.fixture
def hub(tmp_path: Path, run_hopfix: Any) -> Iterator[Hub]:
    stored: Repositories = {}
    with serving(stored) as url:
        yield Hub(url, stored, tmp_path / "cache", run_hopfix)


def test_a_profile_is_pushed_with_a_card_and_pulled_again(hub: Hub, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(demo_profile_folder(), tmp_path / "mine"))
    fields = json.loads(FILES["profile.json"])
    (mine / "profile.json").write_text(json.dumps({**fields, "model": str(tmp_path / "models" / "demo")}))
    (mine / "notes.txt").write_text("not for others")
    done = hub("profile", "push", mine, "org/two-hop", HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    pushed = hub.stored[NAME]
    assert set(pushed) == {*FILES, "README.md"}
    assert json.loads(pushed["profile.json"])["model"] == "demo"
    assert str(tmp_path) not in str(pushed)
    card = pushed["README.md"].decode()
    assert card.startswith("---\nlicense: apache-2.0\nlibrary_name: hopfix\n")
    assert "**deploy: " in card
    assert card.count("\n## ") >= 3  # its report
    assert f"org/two-hop@{commit(pushed)} for exactly this commit" in done.stderr
    assert not (mine / "README.md").exists()

    pulled = tmp_path / "pulled"
    assert hub("profile", "pull", "org/two-hop", "--out", pulled).returncode == 0
    assert {path.name: path.read_bytes() for path in pulled.iterdir()} == pushed
    again = hub("profile", "pull", "org/two-hop", "--out", pulled)
    assert (again.returncode, "is not empty" in again.stderr) == (1, True)


def test_only_what_a_profile_is_shared_by_is_pulled_and_only_into_an_empty_folder(hub: Hub, tmp_path: Path) -> None:
    hub.stored[NAME] = {**FILES, "README.md": b"theirs", "pictures/more.png": b"deeper", "notes.txt": b"not asked for"}
    assert hub("profile", "show", "org/two-hop").returncode == 0
    for left in hub.cache.rglob("snapshots/*"):
        (left / "leftover.txt").write_text("of something else")  # a cache is shared with whatever else fetches
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "README.md").write_text("mine")
    (mine / "report.md.partial").symlink_to(mine / "README.md")
    refused = hub("profile", "pull", "org/two-hop", "--out", mine)
    assert (refused.returncode, "choose a new folder" in refused.stderr) == (1, True)
    assert {path.name: path.read_text() for path in mine.iterdir()} == dict.fromkeys(
        ("README.md", "report.md.partial"), "mine"
    )
    done = hub("profile", "pull", "org/two-hop", "--out", tmp_path / "new")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "new").iterdir()} == {*FILES, "README.md"}


def test_a_pull_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MOCK: a disk that is full once most is copied."""
    copied: list[Path] = []

    def copyfile(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:10])
        copied.append(target)
        if target.name == "profile.json":
            raise OSError(ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr("eval.commands.profile.shutil.copyfile", copyfile)
    monkeypatch.setattr("correction.hub.fetched", lambda *_: demo_profile_folder())
    with pytest.raises(OSError, match="No space left"):
        pull("org/two-hop", tmp_path / "new")
    assert len(copied) > 1
    assert list(tmp_path.iterdir()) == []


def test_a_card_that_was_edited_on_the_hub_is_kept(hub: Hub) -> None:
    hub.stored[NAME] = {"README.md": b"edited on its page"}
    done = hub("profile", "push", demo_profile_folder(), "org/two-hop", HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    assert hub.stored[NAME]["README.md"] == b"edited on its page"
    assert set(hub.stored[NAME]) == {*FILES, "README.md"}


def test_a_branch_of_its_own_and_a_card_that_is_there(hub: Hub, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(demo_profile_folder(), tmp_path / "mine"))
    (mine / "README.md").write_text("mine\n")
    done = hub("profile", "push", mine, "org/two-hop", "--revision", "v2", "--private", HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    assert hub.stored[NAME] == {}
    assert hub.stored[f"{NAME}@v2"]["README.md"] == b"mine\n"
    shown = hub("profile", "show", "org/two-hop@v2", "--json")
    assert json.loads(shown.stdout)["verdict"].startswith("deploy: ")


def test_it_answers_by_a_profile_of_the_hub_and_later_by_its_cache(hub: Hub, tmp_path: Path) -> None:
    hub.stored[NAME] = {**FILES, "model.bin": b"a pickle"}
    done = hub("answer", WALKMAN, "--profile", "org/two-hop", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["answer"] == "Kenichiro Yoshida"
    kept = {path.name for path in hub.cache.rglob("snapshots/*/*")}
    assert kept == {"profile.json"}  # what a profile is read from, and nothing else
    listed = json.loads(hub("models", "--json").stdout)["hub_cache"]
    assert [(found["name"], found["kind"], found["about"]) for found in listed] == [("org/two-hop", "profile", "demo")]
    assert hub("profile", "show", "org/two-hop", HF_HUB_OFFLINE="1").returncode == 0


def test_what_is_wrong_is_said_in_a_line_each(hub: Hub, tmp_path: Path) -> None:
    hub.stored[NAME] = dict(FILES)
    push = ["profile", "push", str(demo_profile_folder()), "org/two-hop"]
    wrong: list[tuple[list[str], str, str]] = [  # with a token, says
        (push, "", "hf auth login"),
        (push, READER, "may not change org/two-hop"),
        (["profile", "push", str(tmp_path), "org/two-hop"], TOKEN, "no profile.json"),
        ([*push[:-1], "two-hop"], TOKEN, "write it as ORG/NAME"),
        (["profile", "show", "org/two-hop@v9"], "", "no such revision"),
        (["answer", WALKMAN, "--profile", "org/nothing"], "", "there is no folder and no repository org/nothing"),
    ]
    # In one process, since each would import torch.
    done = subprocess.run(
        [sys.executable, "-c", ALL_OF, json.dumps([[arguments, token] for arguments, token, _ in wrong])],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(hub.cache)},
    )
    assert done.stdout.split() == ["1"] * len(wrong), done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == len(wrong), done.stderr
    for line, (arguments, _, says) in zip(lines, wrong, strict=True):
        assert says in line, arguments


def test_what_is_not_the_networks_fault_is_not_put_on_it(hub: Hub, tmp_path: Path) -> None:
    hub.stored[NAME] = {**FILES, "../../escape.png": b"out of the folder"}
    escaping = hub("profile", "pull", "org/two-hop", "--out", tmp_path / "out")
    assert (escaping.returncode, "take another repository" in escaping.stderr) == (1, True), escaping.stderr
    (tmp_path / "file").write_text("no folder")
    unwritable = hub("profile", "show", "org/two-hop", HF_HOME=str(tmp_path / "file"))
    assert (unwritable.returncode, "set HF_HOME to a folder" in unwritable.stderr) == (1, True), unwritable.stderr
    for done in (escaping, unwritable):
        assert "cannot reach" not in done.stderr
    assert "cannot reach the hub" in hub("profile", "show", "org/other", HF_HUB_OFFLINE="1").stderr


def test_a_served_profile_is_read_again_from_the_same_repository(
    tmp_path: Path, start_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: Repositories = {NAME: dict(FILES)}
    fields = json.loads(FILES["profile.json"])

    def put(**changed: Any) -> None:
        stored[NAME]["profile.json"] = json.dumps({**fields, **changed}).encode()

    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    with serving(stored) as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        server = start_server("--profile", "org/two-hop")
        server.wait_until_ready()

        def reloaded() -> Any:
            answered = httpx.post(f"{server.url}/v1/profile/reload", timeout=60)
            return answered.status_code, answered.json()

        put(strategy="two_step")
        status, shown = reloaded()
        assert (status, shown["strategy"]) == (200, "two_step")
        put(strategy="deployed", fingerprint="sha256:of another model")
        status, refused = reloaded()
        assert (status, refused["error"]["code"]) == (409, "profile_refused")
        assert "was made for the model" in refused["error"]["message"]
    status, refused = reloaded()  # the hub is gone: what is in its cache is not passed off as new
    assert status == 409
    assert "cannot reach the hub" in refused["error"]["message"]
    assert httpx.get(f"{server.url}/v1/profile").json()["strategy"] == "two_step"
    assert server.stop() == 0
