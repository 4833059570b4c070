"""`hopfix serve` with the demo model: a real process, real sockets, real answers."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from typing import Any

import httpx
import pytest

Entry = dict[str, Any]
TWO_HOP = {"hop1": "The country where Kruger National Park is located is", "hop2": "The currency of {} is"}


def vary(replay: list[Entry], count: int) -> list[tuple[Entry, str]]:
    """`count` requests in every form a question can be asked in, with the answer each must have."""
    varied = []
    for index in range(count):
        entry = replay[index % len(replay)]
        hops = {"hop1": entry["hop1"], "hop2": entry["hop2"]}
        request = hops if index % 2 else {"question": entry["question"], **hops}
        varied.append(({"id": f"q{index}", **request}, entry["answer"]))
    return varied


def test_64_questions_in_one_list_each_get_their_own_answer(client: httpx.Client, replay: list[Entry]) -> None:
    asked = vary(replay, 64)
    response = client.post("/v1/answer", json=[request for request, _ in asked])
    assert response.status_code == 200
    answers = response.json()
    assert [(entry["id"], entry["answer"]) for entry in answers] == [(r["id"], expected) for r, expected in asked]
    assert all(entry["profile"] for entry in answers)
    for entry in answers:
        assert entry["corrected"] == (entry["patch"] is not None) == (entry["fallback"] is None)
    assert any(entry["corrected"] for entry in answers)


def test_8_clients_at_once_each_get_their_own_answers(server: Any, replay: list[Entry]) -> None:
    asked = vary(replay, 40)

    async def client_asks(part: list[tuple[Entry, str]]) -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=120) as client:
            for request, expected in part:
                answer = (await client.post("/v1/answer", json=request)).json()
                assert (answer["id"], answer["answer"]) == (request["id"], expected)

    async def all_ask() -> None:
        await asyncio.gather(*(client_asks(asked[start::8]) for start in range(8)))

    asyncio.run(all_ask())


def test_the_direct_answer_comes_beside_if_asked_for(client: httpx.Client, replay: list[Entry]) -> None:
    question = {name: replay[0][name] for name in ("question", "hop1", "hop2")}
    plain = client.post("/v1/answer", json=question).json()
    both = client.post("/v1/answer", json={**question, "with_direct": True}).json()
    direct = client.post("/v1/answer", json={**question, "strategy": "direct"}).json()
    assert both["answer"] == plain["answer"]
    assert both["direct_answer"] == direct["answer"]
    assert (direct["corrected"], direct["patch"]) == (False, None)


def test_openai_clients_get_the_same_answers(client: httpx.Client, replay: list[Entry]) -> None:
    names = [model["id"] for model in client.get("/v1/models").json()["data"]]
    assert names == ["demo", "demo:direct"]
    question = replay[0]["question"]
    native = client.post("/v1/answer", json={"question": question}).json()
    message = {"role": "user", "content": question}
    chat = client.post("/v1/chat/completions", json={"model": "demo", "messages": [message]}).json()
    completion = client.post("/v1/completions", json={"model": "demo", "prompt": question, "max_tokens": 32}).json()
    assert chat["choices"][0]["message"]["content"] == completion["choices"][0]["text"] == native["answer"]
    assert chat["hopfix"]["corrected"] == native["corrected"]
    direct = client.post("/v1/completions", json={"model": "demo:direct", "prompt": question}).json()
    assert direct["hopfix"] == {"corrected": False, "reason": "the model's name asks for it as it is"}


def test_a_one_hop_question_is_answered_directly_and_says_so(client: httpx.Client) -> None:
    answer = client.post("/v1/answer", json={"question": "What is the capital of France?"}).json()
    assert (answer["strategy"], answer["corrected"], answer["patch"]) == ("direct", False, None)
    assert answer["fallback"] == {
        "reason": "no two hops can be read from the question",
        "engine": "hf",
        "strategy": "direct",
    }


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"question": ""}, 400, "question"),
        ({"question": "  \n"}, 400, "question"),
        ({**TWO_HOP, "hop2": "The currency is"}, 400, "hop2"),
        ({**TWO_HOP, "hop2": "The {} of {} is"}, 400, "hop2"),
        ({**TWO_HOP, "source_layer": 999}, 400, "source_layer"),
        ({**TWO_HOP, "target_layer": -1}, 400, "target_layer"),
        ({**TWO_HOP, "mapping": "magic"}, 400, "mapping"),
        ({**TWO_HOP, "strategy": "guess"}, 422, "strategy"),
        ({**TWO_HOP, "hop1": "where is " * 800}, 400, "prompt"),
        ({"question": "where is " * 800, "strategy": "direct"}, 400, "prompt"),
        ({"questoin": "?"}, 422, "questoin"),
        ([], 422, None),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(client: httpx.Client, body: object, status: int, param: str) -> None:
    response = client.post("/v1/answer", json=body)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (status, param)
    assert error["type"] == "invalid_request_error"
    assert "Traceback" not in response.text


def test_what_is_not_json_too_large_or_unknown(client: httpx.Client) -> None:
    assert client.post("/v1/answer", content=b"{").status_code == 400
    large = client.post("/v1/answer", content=b"x" * (3 << 20))
    assert (large.status_code, large.json()["error"]["code"]) == (413, "too_large")
    unknown = client.post("/v1/completions", json={"model": "gpt-4", "prompt": "Q"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    assert client.get("/v1/nothing").status_code == 404


def test_metrics_have_counted(client: httpx.Client, replay: list[Entry]) -> None:
    def answered() -> float:
        text = client.get("/metrics").text
        assert "hopfix_ready 1.0" in text
        assert "hopfix_questions_in_flight 0.0" in text
        return sum(float(value) for value in re.findall(r"^hopfix_answers_total\{.*\} (.+)$", text, re.MULTILINE))

    before = answered()
    client.post("/v1/answer", json=[{"question": replay[0]["question"]}] * 3)
    assert answered() == before + 3


def test_a_client_that_goes_away_leaves_nothing_in_flight(client: httpx.Client, replay: list[Entry]) -> None:
    questions = [request for request, _ in vary(replay, 200)]
    with pytest.raises(httpx.ReadTimeout):
        client.post("/v1/answer", json=questions, timeout=0.01)
    for _ in range(100):
        if "hopfix_questions_in_flight 0.0" in client.get("/metrics").text:
            return
    pytest.fail("the questions of a client that has gone are still in flight")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_ends_well(start_server: Any, number: int) -> None:
    server = start_server()
    server.wait_until_ready()
    assert httpx.post(f"{server.url}/v1/answer", json=TWO_HOP, timeout=60).status_code == 200
    assert server.stop(number) == 0
    assert "Traceback" not in server.log.read_text()


def test_alive_before_it_is_ready(start_server: Any) -> None:
    server = start_server()
    assert httpx.get(f"{server.url}/health", timeout=60).json() == {"status": "ok"}
    assert httpx.get(f"{server.url}/ready", timeout=60).status_code == 503
    assert server.stop() == 0


def test_a_port_in_use_is_one_clear_line(run_hopfix: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run_hopfix("serve", "--port", port)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert port in done.stderr
    assert "--port" in done.stderr


def test_settings_are_shown_and_the_key_is_not(start_server: Any) -> None:
    server = start_server("--api-key", "hush", "--deadline-seconds", "5")
    log = server.log.read_text()
    assert "deadline_seconds=5.0" in log
    assert "hush" not in log
    assert httpx.get(f"{server.url}/v1/models", timeout=60).status_code == 401
    assert server.stop() == 0


def test_a_model_that_is_not_there_ends_the_server(run_hopfix: Any) -> None:
    done = run_hopfix("serve", "--port", "0", "--model", "/nowhere", HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert "hopfix: cannot load the model '/nowhere' (there is no such folder): give a folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_other_machines_are_not_let_in_without_a_key(run_hopfix: Any) -> None:
    done = run_hopfix("serve", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 1
    assert "--insecure" in done.stderr
