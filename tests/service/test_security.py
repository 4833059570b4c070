"""Who may ask: keys, administrators, rates, web pages."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from service.keys import Key, digest_of

pytestmark = pytest.mark.anyio
QUESTION = {"question": "Q"}
PAGE = "https://example.org"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Alice administrates, Bob asks half a question a second, Carol as many as everybody."""
    path = tmp_path / "keys"
    alice, carol = (Key(name, digest_of(name.encode()), admin=name == "alice") for name in ("alice", "carol"))
    path.write_text(f"{alice}\n{Key('bob', digest_of(b'bob'), rate=0.5)}\n{carol}\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def add_line(keys: Path, line: str) -> None:
    keys.write_text(keys.read_text(encoding="utf-8") + line, encoding="utf-8")


def keep_lines(keys: Path, count: int) -> None:
    keys.write_text("\n".join(keys.read_text(encoding="utf-8").splitlines()[:count]), encoding="utf-8")


async def test_each_key_lets_in_and_nothing_else_does(connect, keys: Path) -> None:
    async with connect(api_keys=keys) as client:
        for name in ("alice", "bob", "carol"):
            assert (await client.get("/v1/models", headers=bearer(name))).status_code == 200
        for wrong in (
            {},
            bearer(""),
            bearer("dave"),
            bearer(digest_of(b"alice")),
            {"Authorization": "Basic alice"},
            {"Authorization": "alice"},
            {"Authorization": "Bearer"},
            {"X-API-Key": "alice"},
            {"Authorization": b"Bearer \xff\xfe"},
        ):
            refused = await client.post("/v1/answer", json=QUESTION, headers=wrong)
            assert refused.status_code == 401
            assert refused.headers["WWW-Authenticate"] == "Bearer"
            assert refused.json()["error"]["code"] == "invalid_api_key"


async def test_a_key_is_asked_for_before_the_body_is_read(connect) -> None:
    async with connect(api_key="sesame") as client:
        assert (await client.post("/v1/answer", content=b"not JSON")).status_code == 401


async def test_the_key_of_the_environment_counts_beside_those_of_the_file(connect, keys: Path) -> None:
    async with connect(api_keys=keys, api_key="sesame") as client:
        for name in ("sesame", "carol"):
            assert (await client.get("/v1/models", headers=bearer(name))).status_code == 200


async def test_probes_need_no_key_and_metrics_do_if_they_are_private(connect, keys: Path) -> None:
    async with connect(api_keys=keys) as client:
        for path in ("/health", "/ready", "/metrics"):
            assert (await client.get(path)).status_code == 200
    async with connect(api_keys=keys, private_metrics=True) as client:
        assert (await client.get("/health")).status_code == (await client.get("/ready")).status_code == 200
        assert (await client.get("/metrics")).status_code == 401
        assert (await client.get("/metrics", headers=bearer("carol"))).status_code == 200


async def test_only_administrators_change_the_service(connect, keys: Path) -> None:
    async with connect(api_keys=keys) as client:
        assert (await client.post("/v1/profile/reload")).status_code == 401
        refused = await client.post("/v1/profile/reload", headers=bearer("carol"))
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
        assert (await client.post("/v1/profile/reload", headers=bearer("alice"))).status_code not in (401, 403)


async def test_keys_are_read_again_at_a_reload(connect, keys: Path) -> None:
    async with connect(api_keys=keys) as client:
        add_line(keys, "nonsense")
        refused = await client.post("/v1/profile/reload", headers=bearer("alice"))
        assert (refused.status_code, "line 4" in refused.text) == (400, True)
        assert (await client.get("/v1/models", headers=bearer("carol"))).status_code == 200
        keep_lines(keys, 2)
        await client.post("/v1/profile/reload", headers=bearer("alice"))
        assert (await client.get("/v1/models", headers=bearer("carol"))).status_code == 401
        assert (await client.get("/v1/models", headers=bearer("bob"))).status_code == 200


async def test_beyond_its_rate_a_client_is_told_when_to_come_back(connect, keys: Path) -> None:
    async with connect(api_keys=keys) as client:
        assert (await client.post("/v1/answer", json=QUESTION, headers=bearer("bob"))).status_code == 200
        refused = await client.post("/v1/answer", json=QUESTION, headers=bearer("bob"))
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
        assert refused.headers["Retry-After"] in ("1", "2")
        for _ in range(10):
            assert (await client.post("/v1/answer", json=QUESTION, headers=bearer("carol"))).status_code == 200
        assert (await client.get("/v1/models", headers=bearer("bob"))).status_code == 200  # costs nothing


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/answer", [QUESTION] * 100),
        ("/v1/completions", {"model": "stand-in", "prompt": ["Q"] * 100}),
    ],
)
async def test_a_list_counts_its_questions(connect, keys: Path, path: str, body: object) -> None:
    async with connect(api_keys=keys, max_in_flight=100) as client:
        assert (await client.post(path, json=body, headers=bearer("bob"))).status_code == 200
        refused = await client.post("/v1/answer", json=QUESTION, headers=bearer("bob"))
    assert 150 < int(refused.headers["Retry-After"]) <= 200


async def test_without_keys_the_rate_is_of_an_address(connect) -> None:
    async with connect(rate=1) as client:
        assert (await client.post("/v1/answer", json=QUESTION)).status_code == 200
        assert (await client.post("/v1/answer", json=QUESTION)).status_code == 429
        # Whom nobody trusts to say so does not become another client.
        other = await client.post("/v1/answer", json=QUESTION, headers={"X-Forwarded-For": "10.0.0.1"})
        assert other.status_code == 429


def preflight(client: httpx.AsyncClient, origin: str) -> httpx.Request:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type, x-stainless-lang",
    }
    return client.build_request("OPTIONS", "/v1/chat/completions", headers=headers)


@pytest.mark.parametrize("origin", [PAGE, "null", "http://localhost:8000"])
async def test_no_web_page_may_call_unless_it_is_named(connect, origin: str) -> None:
    async with connect() as client:
        assert "Access-Control-Allow-Origin" not in (await client.send(preflight(client, origin))).headers
        refused = await client.post("/v1/answer", json=QUESTION, headers={"Origin": origin})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    assert "Access-Control-Allow-Origin" not in refused.headers


async def test_a_named_page_may_call_and_read_even_what_is_refused(connect) -> None:
    async with connect(cors_origins=f"http://localhost:3000, {PAGE}", api_key="sesame") as client:
        allowed = await client.send(preflight(client, PAGE))
        answer = await client.post("/v1/answer", json=QUESTION, headers={"Origin": PAGE, **bearer("sesame")})
        refused = await client.post("/v1/answer", json=QUESTION, headers={"Origin": PAGE})
        other = await client.post("/v1/answer", json=QUESTION, headers={"Origin": f"{PAGE}.evil", **bearer("sesame")})
        assert (await client.send(preflight(client, f"{PAGE}.evil"))).status_code == 400
    assert (allowed.status_code, answer.status_code, refused.status_code, other.status_code) == (200, 200, 401, 403)
    for response in (allowed, answer, refused):
        assert response.headers["Access-Control-Allow-Origin"] == PAGE
        assert "Access-Control-Allow-Credentials" not in response.headers
    assert "x-stainless-lang" in allowed.headers["Access-Control-Allow-Headers"]
    assert "X-Request-ID" in answer.headers["Access-Control-Expose-Headers"]


async def test_any_page_where_the_operator_says_so(connect) -> None:
    async with connect(cors_origins="*", api_key="sesame") as client:
        answer = await client.post("/v1/answer", json=QUESTION, headers={"Origin": "null", **bearer("sesame")})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, "*")


async def ask_from(client: httpx.AsyncClient, origin: str, host: str, key: str = "") -> int:
    headers = {"Origin": origin, "Host": host} | (bearer(key) if key else {})
    return (await client.post("/v1/answer", json=QUESTION, headers=headers)).status_code


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "10.0.0.7", "localhost"])
async def test_the_services_own_page_may_call(connect, host: str) -> None:
    async with connect() as client:
        assert await ask_from(client, f"http://{host}", host) == 200
        assert await ask_from(client, f"https://{host}", host) == 200  # a proxy ends TLS
        assert await ask_from(client, "http://localhost:3000", host) == 403  # another service of the same machine


@pytest.mark.parametrize("host", ["evil.example:8000", "localhost.evil.example", "[::1", "", "127.0.0.1.evil.example"])
async def test_a_page_whose_name_was_pointed_here_is_not_our_own(connect, host: str) -> None:
    """DNS rebinding: the browser takes it for our page, its name gives it away. Where there are keys it has none."""
    async with connect() as client:
        assert await ask_from(client, f"http://{host}", host) == 403
    async with connect(api_key="sesame") as client:
        assert await ask_from(client, f"http://{host}", host) == 401


async def test_with_keys_our_own_page_may_have_any_name(connect) -> None:
    async with connect(api_key="sesame") as client:
        assert await ask_from(client, "https://hopfix.example.org", "hopfix.example.org", "sesame") == 200
        assert await ask_from(client, PAGE, "hopfix.example.org", "sesame") == 403
