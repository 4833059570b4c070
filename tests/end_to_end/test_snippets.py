"""Every block of code in README, CONTRIBUTING, docs/ and examples/ does what the page says.

A block runs in a folder of its page's own: Python as it is, shell with `.venv/bin` for the environment that the tests
run in, and with one running service wherever it speaks of port 8000. Where a page shows what is printed (after a
command with `$ `, or in an `output` block after a block) that is compared; `...` there stands for anything.

Commands that cannot run here, or take minutes, stand in `NOT_RUN` with the reason. Those too are checked: the shell's
syntax, that a make target exists, that a subcommand of hopfix has the arguments and options. A block of a language
that this file does not know fails; `text` is for what is no code. A new page needs nothing here unless its blocks
cannot run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.snippets import ROOT, Block, blocks_of, check, commands, same, session, words

PAGES = [*ROOT.glob("*.md"), *sorted(ROOT.glob("examples/*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
SHELL = ("", "sh", "bash", "console")
LIMIT = 120  # seconds of one block

# Commands that are not run, by a pattern of their beginning, and why not. Each must be of use.
NOT_RUN = {
    r"make ": "installs, trains, measures or changes the repository itself",
    r"(\S*/)?hopfix serve(?!.*&)": "runs until it is stopped; the running service stands for it",
    r"(\.venv/bin/)?python -m (pytest|vllm)": "the tests themselves; vLLM's server, started in test-vllm",
    r"\.venv-(vllm|harness|pipelines)/": "another environment: the stages test-vllm, -harness and -pipelines run it",
    r"(\.venv/bin/)?hopfix eval experiment \S": "minutes each; tests/eval/experiments runs them on fewer questions",
    r"(\.venv/bin/)?hopfix eval( --from question)?$": "minutes; test_eval_commands.py runs it on fewer questions",
    r".*--model smollm2\b": "needs make smollm2; test_real_model.py asks that model",
    r"(\.venv/bin/)?hopfix profile push": "changes the hub; test_profile_hub.py pushes to a stand-in of it",
    r".*\b(FILE|MODEL|PROFILE|CALIBRATION\.jsonl|TEST\.jsonl)\b": "the reader's own files; test_any_model.py has some",
}
# `hopfix serve &`: the service that runs already stands for it.
# Python blocks that import these are not run but compiled: other people's frameworks, in an environment of their own.
FRAMEWORKS = re.compile(
    r"^(?:from|import) (langchain_openai|llama_index|haystack|dspy)\b", re.M
)  # stage test-pipelines
CURL = 'curl() { command curl --fail-with-body "$@"; }\n'  # or an error would look like an answer
SERVED = re.compile(r"^\S*hopfix serve[^\n]*&[ \t]*$", re.M)


def why_not(command: str) -> str | None:
    text = " ".join(command.replace("\\\n", " ").split())
    text = re.sub(r"\s+#.*", "", text)
    return next((reason for pattern, reason in NOT_RUN.items() if re.match(pattern, text)), None)


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    """A folder for each page: what one of its blocks writes the next may read."""
    made: dict[Path, Path] = {}
    for page in {block.page for block in BLOCKS}:
        made[page] = tmp_path_factory.mktemp(page.stem)
        (made[page] / ".venv").symlink_to(Path(sys.prefix), target_is_directory=True)
        for folder in ("examples", "eval"):  # what pages name of the repository
            if (ROOT / folder).is_dir():
                (made[page] / folder).symlink_to(ROOT / folder, target_is_directory=True)
    return made


class Shell:
    """Runs code in a page's folder, with the running service in place of port 8000."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url

    def __call__(self, *command: str, text: str) -> str:
        host = self.url.removeprefix("http://")
        text = re.sub(r"(localhost|127\.0\.0\.1):8000", host, SERVED.sub("", text))
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            [*command, text], cwd=self.folder, env={**os.environ, "PATH": path}, capture_output=True, text=True,
            timeout=LIMIT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{text}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_a_block_runs(block: Block, folders: dict[Path, Path], request: pytest.FixtureRequest) -> None:
    if block.language == "text":  # what is no code: a prompt, say
        return
    if block.language == "json":
        json.loads(block.text)
        return
    if block.language == "python" and FRAMEWORKS.search(block.text):
        compile(block.text, block.name, "exec")
        return
    if block.language in SHELL:
        run = [command for command in commands(block) if why_not(command) is None]
        if not run:
            return
        if any(words(command)[:1] == ["curl"] for command in run) and shutil.which("curl") is None:
            pytest.skip("curl is not installed")
    else:
        assert block.language == "python", f"no way to try a block of {block.language!r}: name one here"
    speaks = re.search(r"(localhost|127\.0\.0\.1):8000", block.text)
    shell = Shell(folders[block.page], request.getfixturevalue("server").url if speaks else "http://localhost:9")
    if block.language == "python":
        printed = shell(sys.executable, "-c", text=block.text)
    elif block.text.startswith("$ "):
        for command, said in session(block):
            if why_not(command) is None:
                printed = shell("bash", "-ec", text=CURL + command)
                assert same(printed, said), f"{command}\nprints\n{printed}"
        return
    else:
        printed = shell("bash", "-ec", text=CURL + "\n".join(run))
    if block.output is not None:
        assert same(printed, block.output), printed


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language in SHELL], ids=lambda block: block.name)
def test_a_commands_words_are_known(block: Block) -> None:
    for command in commands(block):
        check(command)


INLINE = re.compile(r"`((?:\.venv/bin/)?hopfix [a-z][^`\n]*|make [a-z][^`\n]*)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_command_in_a_sentence_is_known(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    for command in INLINE.findall(text):
        check(command)


@pytest.mark.parametrize(
    "wrong",
    [
        "make nothing",
        "hopfix nothing",
        "hopfix answer --nothing",
        "hopfix eval formats all",
        "hopfix answer 'Q",
        "pytest tests/nothing",
    ],
)
def test_what_is_wrong_is_found(wrong: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        check(wrong)


def test_dots_stand_for_what_differs_from_machine_to_machine() -> None:
    printed = "torch 2.13.0\nfound\nthis\nok\n"
    for said in ("torch ...\nfound\nthis\nok", "torch 2.13.0\n...\nok\n", "...\nok"):
        assert same(printed, said)
    for said in ("torch ...\n", "torch 2.14.0\n...\nok", "...\nnot ok", "torch ...\nok"):
        assert not same(printed, said)


@pytest.mark.parametrize("pattern", NOT_RUN)
def test_a_reason_not_to_run_is_of_use(pattern: str) -> None:
    every = [command for block in BLOCKS if block.language in SHELL for command in commands(block)]
    texts = [re.sub(r"\s+#.*", "", " ".join(command.replace("\\\n", " ").split())) for command in every]
    assert any(re.match(pattern, text) for text in texts), f"no page has such a command any more: {pattern}"
