"""`hopfix key`: the line can be kept, the key is seen once."""

from __future__ import annotations

import re

import pytest

from correction.errors import InvalidInput
from service.commands.key import command
from service.keys import Key, digest_of


def test_the_line_on_stdout_is_of_the_key_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    command("alice", admin=True, rate=2.5)
    line, talk = capsys.readouterr()
    (secret,) = re.findall(r"hopfix-\S{43}$", talk.strip())
    assert Key.parse(line) == Key("alice", digest_of(secret.encode()), admin=True, rate=2.5)
    assert secret not in line


@pytest.mark.parametrize(("name", "rate"), [("two words", None), ("", None), ("alice", 0.0), ("alice", float("nan"))])
def test_what_the_file_could_not_hold_is_refused(
    name: str, rate: float | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InvalidInput):
        command(name, admin=False, rate=rate)
    assert capsys.readouterr() == ("", "")
