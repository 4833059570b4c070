"""Blocks of code in Markdown pages, the commands in them, and whether a command is one: for test_snippets.py."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.cli import _Commands

ROOT = Path(__file__).parent.parent


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


def same(printed: str, said: str) -> bool:
    """Whether what was printed is what a page says: `...` there is anything in a line, alone in a line any lines."""
    lines = trimmed(said).split("\n")
    patterns = [
        r"(?:[^\n]*\n)*?[^\n]*" if line == "..." else "[^\n]*".join(map(re.escape, line.split("..."))) for line in lines
    ]
    return re.fullmatch("\n".join(patterns), trimmed(printed)) is not None


def trimmed(text: str) -> str:
    """Without spaces at the ends of lines, and empty lines at the end."""
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip()


def check(command: str) -> None:
    """The shell's syntax; that a make target exists; that hopfix has the subcommand, its options and arguments."""
    syntax = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
    assert syntax.returncode == 0, syntax.stderr
    given = words(command)
    while given and re.fullmatch(r"[A-Z_]+=.*", given[0]):
        given.pop(0)
    if given[:1] == ["make"]:
        targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
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
