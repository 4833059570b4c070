"""Every block of code in README, CONTRIBUTING and docs/ does what the page says.

A block runs in a folder of its page's own: Python as it is, shell with `.venv/bin` for the environment that the tests
run in, and with one running service wherever it speaks of port 8000. Where a page shows what is printed (after a
command with `$ `, or in an `output` block after a block) that is compared. Commands that cannot run here, or take
minutes, stand in `NOT_RUN` with the reason; those are still checked: the shell's syntax, that a make target exists,
that a subcommand of hopfix has the arguments and options. A block of a language that this file does not know fails.

A new page needs nothing here unless its blocks cannot run.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.cli import _Commands

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
SHELL = ("", "sh", "bash", "console")
LIMIT = 120  # seconds of one block

# Commands that are not run, by a pattern of their beginning, and why not. Each must be of use.
NOT_RUN = {
    r"make (demo|up|test|check|format|audit)\b": "installs, tests or changes the repository itself",
    r"make docs\b": "tests/test_site.py",
    r"make vllm\b": "installs vLLM; the stage test-vllm runs what comes after",
    r"(\.venv/bin/)?python -m (pytest|vllm)": "the tests themselves; vLLM's server, started in test-vllm",
    r"\.venv-(vllm|harness)/": "another environment: the stages test-vllm and test-harness run it",
    r"(\.venv/bin/)?hopfix eval experiment \S": "minutes each; tests/eval/experiments runs them on fewer questions",
    r"(\.venv/bin/)?hopfix eval( --from question)?$": "minutes; test_eval_commands.py runs it on fewer questions",
    r".*\b(FILE|MODEL|PROFILE|CALIBRATION\.jsonl|TEST\.jsonl)\b": "the reader's own files; test_any_model.py has some",
}
# `hopfix serve &`: the service that runs already stands for it.
CURL = 'curl() { command curl --fail-with-body "$@"; }\n'  # or an error would look like an answer
SERVED = re.compile(r"^\S*hopfix serve[^\n]*&[ \t]*$", re.M)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language, its text without indentation, and the text of its output block."""

    page: Path
    line: int
    language: str
    text: str
    output: str | None = None

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").split("\n")
    start: tuple[int, int, str, str] | None = None
    for number, line in enumerate(lines):
        fence = re.match(r"( *)(`{3,})(.*)", line)
        if fence is None:
            continue
        if start is None:
            start = (number, len(fence[1]), fence[2], fence[3].strip())
        elif fence[2] == start[2] and not fence[3]:
            text = "\n".join(line[start[1] :] for line in lines[start[0] + 1 : number]) + "\n"
            if start[3] == "output":
                assert found, f"{page.name}:{start[0]}: output of nothing"
                found[-1] = Block(found[-1].page, found[-1].line, found[-1].language, found[-1].text, text)
            else:
                found.append(Block(page, start[0] + 2, start[3], text))
            start = None
    assert start is None, f"{page.name}: a block does not end"
    return found


def commands_of(script: str) -> Iterator[str]:
    """The commands of a script, one by one, each with all of its lines."""
    taken = ""
    for line in script.splitlines(keepends=True):
        taken += line
        if not line.endswith("\\\n") and whole(taken):
            if words(taken):
                yield taken.strip()
            taken = ""
    assert not taken.strip(), f"not a command: {taken}"


def whole(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True


def words(command: str) -> list[str]:
    """Without comments, up to the first pipe, separator or redirection."""
    lexer = shlex.shlex(command.replace("\\\n", " "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[str] = []
    for word in lexer:
        if word and set(word) <= set("|&;<>()"):
            break
        found.append(word)
    return found


def why_not(command: str) -> str | None:
    text = " ".join(command.replace("\\\n", " ").split())
    text = re.sub(r"\s+#.*", "", text)
    return next((reason for pattern, reason in NOT_RUN.items() if re.match(pattern, text)), None)


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def session(block: Block) -> list[tuple[str, str]]:
    """The commands after `$ ` and what is printed after each."""
    parts = re.split(r"^\$ ", block.text, flags=re.M)[1:]
    found = []
    for part in parts:
        lines = part.splitlines(keepends=True)
        count = next(
            n for n in range(1, len(lines) + 1) if not lines[n - 1].endswith("\\\n") and whole("".join(lines[:n]))
        )
        found.append(("".join(lines[:count]).strip(), "".join(lines[count:])))
    return found


def commands(block: Block) -> list[str]:
    if block.text.startswith("$ "):
        return [command for command, _ in session(block)]
    return list(commands_of(block.text))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    """A folder for each page: what one of its blocks writes the next may read."""
    made: dict[Path, Path] = {}
    for page in {block.page for block in BLOCKS}:
        made[page] = tmp_path_factory.mktemp(page.stem)
        (made[page] / ".venv").symlink_to(Path(sys.prefix), target_is_directory=True)
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
    if block.language == "json":
        json.loads(block.text)
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
                assert trimmed(shell("bash", "-ec", text=CURL + command)) == trimmed(said), command
        return
    else:
        printed = shell("bash", "-ec", text=CURL + "\n".join(run))
    if block.output is not None:
        assert trimmed(printed) == trimmed(block.output)


def trimmed(text: str) -> str:
    """Without spaces at the ends of lines, and empty lines at the end."""
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip()


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language in SHELL], ids=lambda block: block.name)
def test_a_commands_words_are_known(block: Block) -> None:
    for command in commands(block):
        check(command)


INLINE = re.compile(r"`((?:\.venv/bin/)?hopfix [a-z-]+[^`\n]*|make [a-z][^`\n]*)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_command_in_a_sentence_is_known(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    for command in INLINE.findall(text):
        check(command)


def check(command: str) -> None:
    """The shell's syntax; that a make target exists; that hopfix has the subcommand, its options and arguments."""
    syntax = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
    assert syntax.returncode == 0, syntax.stderr
    given = words(command)
    while given and re.fullmatch(r"[A-Z_]+=.*", given[0]):
        given.pop(0)
    if given[:1] == ["make"]:
        targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
        asked = {word for word in given[1:] if "=" not in word and not word.startswith("-")}
        assert asked <= targets, command
    for word in given:
        if re.match(r"(correction|deploy|docs|eval|service|tests)/", word):
            assert (ROOT / re.split("@|::", word)[0]).exists(), f"{word}: {command}"
    if given and Path(given[0]).name == "hopfix":
        check_hopfix(given[1:], command)


def check_hopfix(given: list[str], command: str) -> None:
    """By the subcommand's own parser: options that it has, with as many values, and no argument too many."""
    known: Any = _Commands(name="hopfix").get_command(None, given[0])
    assert known is not None, f"hopfix has no subcommand {given[0]!r}: {command}"
    rest = given[1:]
    while True:
        options = {name: option for option in known.params for name in (*option.opts, *option.secondary_opts)}
        values: list[str] = []
        while rest:
            word = rest.pop(0)
            if hasattr(known, "commands") and word in known.commands:
                known = known.commands[word]
                break
            if not word.startswith("-"):
                values.append(word)
                continue
            name = word.partition("=")[0]
            assert name in options or name in ("-h", "--help"), f"hopfix {given[0]} has no option {name}: {command}"
            if name in options and not options[name].is_flag and "=" not in word and rest:
                rest.pop(0)
        else:
            break
    assert len(values) <= sum(1 for param in known.params if param.param_type_name == "argument"), command


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


@pytest.mark.parametrize("pattern", NOT_RUN)
def test_a_reason_not_to_run_is_of_use(pattern: str) -> None:
    every = [command for block in BLOCKS if block.language in SHELL for command in commands(block)]
    texts = [re.sub(r"\s+#.*", "", " ".join(command.replace("\\\n", " ").split())) for command in every]
    assert any(re.match(pattern, text) for text in texts), f"no page has such a command any more: {pattern}"
