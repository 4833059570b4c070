"""A file of keys: a line for each, of which only a digest is kept."""

from __future__ import annotations

import hmac
from pathlib import Path

import pytest

from correction.errors import InvalidInput
from service import keys as keys_module
from service.keys import Key, Keys, digest_of, new_key
from service.settings import Settings

ALICE, BOB = Key("alice", digest_of(b"a-key"), admin=True), Key("bob", digest_of(b"b-key"), rate=2.5)


def keys_in(path: Path, text: str, **settings: object) -> Keys:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return Keys(Settings.read(api_keys=path, **settings))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_a_key_is_found_by_what_its_client_sends(path: Path) -> None:
    keys = keys_in(path, f"# the web shop\n{ALICE}\n\n{BOB}\n")
    assert keys
    assert (keys.find(b"a-key"), keys.find(b"b-key")) == (ALICE, BOB)
    assert keys.find(b"c-key") is None
    assert keys.find(b"") is None
    assert keys.find(ALICE.digest.encode()) is None  # whoever reads the file cannot use what is in it


@pytest.mark.parametrize("key", [ALICE, BOB, Key("c", digest_of(b"c"), admin=True, rate=0.1), Key("d", "0" * 64)])
def test_a_line_says_all_of_a_key(key: Key) -> None:
    assert Key.parse(str(key)) == key
    assert Key.parse(f"  {str(key).replace(' ', '   ')} ") == key


def test_every_key_is_compared_whether_or_not_one_fits(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = keys_in(path, f"{ALICE}\n{BOB}\n")
    compared: list[str] = []

    def compare(ours: str, given: str) -> bool:
        compared.append(ours)
        return hmac.compare_digest(ours, given)

    monkeypatch.setattr(keys_module, "hmac", type("", (), {"compare_digest": staticmethod(compare)}))
    keys.find(b"a-key")
    keys.find(b"neither")
    assert compared == [ALICE.digest, BOB.digest] * 2


def test_the_variables_key_is_an_administrators_and_named_default(path: Path) -> None:
    keys = keys_in(path, f"{BOB}\n", api_key="sésame")
    assert keys.find("sésame".encode()) == Key("default", digest_of("sésame".encode()), admin=True)
    assert keys.find(b"b-key") == BOB
    assert not Keys(Settings.read())


def test_a_keys_own_rate_wins(path: Path) -> None:
    keys = keys_in(path, f"{ALICE}\n{BOB}\n", rate=7)
    assert (keys.rate("alice"), keys.rate("bob"), keys.rate("10.0.0.1")) == (7, 2.5, 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alice", "line 1: this is no key's line"),
        (f"# fine\n{ALICE} root", "line 2: this is no key's line"),
        ("alice sha256:abc", "line 1: this is no key's line"),
        (f"alice sha512:{ALICE.digest}", "line 1: this is no key's line"),
        (f"al/ice sha256:{ALICE.digest}", "line 1: this is no key's line"),
        (f"{'a' * 65} sha256:{ALICE.digest}", "line 1: this is no key's line"),
        (f"alice sha256:{ALICE.digest} rate=-1", "line 1: this is no key's line"),
        (f"alice sha256:{ALICE.digest} rate=inf", "line 1: this is no key's line"),
        (f"alice sha256:{ALICE.digest} rate=0", "line 1: a rate of 0"),
        (f"{ALICE}\n{ALICE}", "line 2: there is another key named 'alice'"),
    ],
)
def test_a_line_that_is_wrong_is_named(path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=f"{path}, {message}"):
        keys_in(path, text)


def test_a_key_that_was_written_into_the_file_by_mistake_is_not_repeated(path: Path) -> None:
    secret = new_key()
    with pytest.raises(InvalidInput) as raised:
        keys_in(path, f"alice {secret}")
    assert secret not in str(raised.value)


def test_the_name_of_the_variables_key_is_taken(path: Path) -> None:
    with pytest.raises(InvalidInput, match="another key named 'default'"):
        keys_in(path, f"default sha256:{BOB.digest}", api_key="sesame")


def test_a_file_that_cannot_be_read(tmp_path: Path, path: Path) -> None:
    for unreadable in (path, tmp_path):
        with pytest.raises(InvalidInput, match=f"cannot read the keys in {unreadable}"):
            Keys(Settings.read(api_keys=unreadable))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="it is not UTF-8"):
        Keys(Settings.read(api_keys=path))


def test_a_file_without_keys_lets_nobody_in(path: Path) -> None:
    keys = keys_in(path, "# nobody yet\n")
    assert keys
    assert keys.find(b"") is None


def test_a_file_that_others_can_write_is_worth_a_warning(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = keys_in(path, f"{ALICE}\n")
    assert not caplog.records
    path.chmod(0o602)
    keys.read()
    assert "chmod go-w" in caplog.text


def test_read_again_a_key_is_withdrawn_and_a_wrong_file_changes_nothing(path: Path) -> None:
    keys = keys_in(path, f"{ALICE}\n{BOB}\n")
    path.write_text(f"{BOB}\n", encoding="utf-8")
    keys.read()
    assert (keys.find(b"a-key"), keys.find(b"b-key")) == (None, BOB)
    path.write_text("nonsense", encoding="utf-8")
    with pytest.raises(InvalidInput):
        keys.read()
    assert keys.find(b"b-key") == BOB


def test_no_two_new_keys_are_alike() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(len(key) == len("hopfix-") + 43 for key in keys)  # 256 bits in base64
