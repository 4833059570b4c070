"""What a hostile client can do to a real process: nothing that its log or its answers would show."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.keys import Key, digest_of

FORGED = "2026-01-01 hopfix forged this line"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"{Key('alice', digest_of(b'sesame'))}\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def talk(url: str, *sent: bytes) -> bytes:
    """What a server says to these bytes, until it or the client has nothing more to say."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    said = b""
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        try:
            for part in sent:
                connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                said += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass  # it has closed what it does not want to hear the rest of
    return said


def status(said: bytes) -> int:
    return int(said.split(b" ", 2)[1]) if said else 0


def test_hostile_requests_leave_the_service_and_its_log_as_they_are(start_server: Any, keys: Path) -> None:
    server = start_server("--api-keys", str(keys))
    line = FORGED.replace(" ", "%20")
    requests = {
        f"GET /%0d%0a{line} HTTP/1.1\r\nHost: a\r\n\r\n": 404,
        f"GET /health?x=%0a{line} HTTP/1.1\r\nHost: a\r\n\r\n": 200,
        "GET /%1b%5b31mred%c2%9b31m HTTP/1.1\r\nHost: a\r\n\r\n": 404,
        "GET /\x1b[31mred HTTP/1.1\r\nHost: a\r\n\r\n": 400,
        f"GET /health?\n{FORGED} HTTP/1.1\r\nHost: a\r\n\r\n": 400,
        f"GET /health HTTP/1.1\r\nHost: a\r\nX-Request-ID: a\n{FORGED}\r\n\r\n": 400,
        "GET /health HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: \x9b31mred\r\n\r\n": 200,
        "GET /health HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: not an address\r\n\r\n": 200,
        "nonsense\r\n\r\n": 400,
        # Two lengths, or a length beside chunks, is how requests are smuggled past a proxy.
        "POST /v1/answer HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ": 400,
        "GET /health HTTP/1.1\r\n\r\n": 400,
    }
    for request, expected in requests.items():
        assert status(talk(server.url, request.encode("latin-1"))) == expected, request
    log = server.log.read_text(encoding="utf-8")
    assert not [entry for entry in log.splitlines() if entry.startswith(FORGED)]
    assert not [char for char in log if not (char.isprintable() or char == "\n")]


def test_headers_have_a_limit(start_server: Any, keys: Path) -> None:
    server = start_server("--api-keys", str(keys))
    for flood in (b"X-A: " + b"a" * (1 << 20), b"X-A: a\r\n" * (1 << 17), b"a" * (1 << 20)):
        assert status(talk(server.url, b"GET /health HTTP/1.1\r\nHost: a\r\n", flood, b"\r\n\r\n")) in (400, 431, 0)
    assert httpx.get(f"{server.url}/health").status_code == 200


def test_a_response_says_nothing_of_what_runs(start_server: Any, keys: Path) -> None:
    server = start_server("--api-keys", str(keys))
    for path in ("/health", "/nowhere", "/v1/answer"):
        assert "Server" not in httpx.get(server.url + path).headers
    assert httpx.post(f"{server.url}/v1/answer", json={"question": "Q"}).status_code == 401
    headers = {"Authorization": "Bearer sesame"}
    assert httpx.post(f"{server.url}/v1/answer", json={"question": "Q"}, headers=headers).status_code != 401


def test_settings_are_printed_without_their_secrets(start_server: Any, keys: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HOPFIX_API_KEY", "hush-hush")
    log = start_server("--api-keys", str(keys), "--vllm-url", "http://me:hush-hush@localhost:9").log.read_text()
    assert "api_key=**********" in log
    assert "vllm_url=http://***@localhost:9" in log
    assert "hush-hush" not in log


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "cannot read the keys"), ("alice sesame", "line 1: this is no key's line"), ("alice\n", "line 1")],
)
def test_no_start_with_keys_that_cannot_be_read(
    tmp_path: Path, run_hopfix: Any, text: str | None, message: str
) -> None:
    path = tmp_path / "keys"
    if text is not None:
        path.write_text(text)
    done = run_hopfix("serve", "--port", "0", "--api-keys", str(path))
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "sesame" not in done.stderr
