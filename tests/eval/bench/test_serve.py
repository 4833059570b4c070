"""`hopfix bench serve` and `soak`: the load generator against a server that misbehaves as told, figures and pages."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count, pairwise
from typing import Any

import pytest

from eval.bench.serve import report, soak_report
from eval.bench.serve.client import Client
from eval.bench.serve.comparison import PIPELINE
from eval.bench.serve.figures import figures, percentile, spread
from eval.bench.serve.http import Lost, Reply, request
from eval.bench.serve.kinds import KINDS
from eval.bench.serve.load import Load, Report, _Generator
from eval.bench.serve.offline import distinct_questions
from eval.bench.serve.server import Cpu, processes
from eval.bench.serve.soak import AFTERWARDS, MIX, Memory, sound
from eval.bench.serve.traffic import Asked, Verdict, events_of, judge_list, judge_object, judge_text

ASKED = [
    Asked(
        f"Q{n}?",
        f"hop {n}",
        (f"hop {n}", "The x of {} is"),
        f"cloze {n}",
        f"A{n}",
        True,
        {"direct": f"D{n}", "two_step": f"T{n}"},
    )
    for n in range(20)
]
Answerer = Callable[[str, Any], bytes]


def answer_object(body: Any) -> dict[str, Any]:
    """As the service says it when all is well."""
    n = int(body["question"][1:-1])
    return {"id": body["id"], "answer": f"A{n}", "corrected": True, "hops": [{"prompt": f"hop {n}", "text": "b"}]}


def http(status: int, content: bytes, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status} x", f"content-length: {len(content)}", *headers, "", ""]
    return "\r\n".join(head).encode() + content


def ok(value: Any) -> bytes:
    return http(200, json.dumps(value).encode())


def chunked(*parts: bytes) -> bytes:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))
    return b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n" + chunks


@asynccontextmanager
async def serving(answer: Answerer) -> AsyncIterator[str]:
    """A server on kept connections; what it answers with nothing is never answered, an empty answer closes."""

    talks: list[asyncio.Task[None] | None] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                given = answer(head.split()[1].decode(), body if body == b"{" else json.loads(body))
                if not given:
                    break
                writer.write(given)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*filter(None, talks))  # the clients have gone


def run(answer: Answerer, **load: Any) -> Report:
    """What a load finds against this server."""

    async def both() -> Report:
        async with serving(answer) as url:
            return await _Generator(Load(url, **load), ASKED).run()

    return asyncio.run(both())


# -- the client -------------------------------------------------------------------------------------------------------


def test_a_reply_is_read_when_all_of_it_is_there():
    whole = http(200, b"hello", "Retry-After: 3", "Connection: close")
    assert all(Reply.read(bytearray(whole[:end])) is None for end in range(len(whole)))
    assert Reply.read(bytearray(whole)) == Reply(200, b"hello", len(whole), True, 3.0)


def test_chunks_are_joined_even_when_one_looks_like_the_end():
    whole = chunked(b"ab\n", b"0\r\n\r\n", b"c" * 300)
    assert all(Reply.read(bytearray(whole[:end])) is None for end in range(len(whole)))
    reply = Reply.read(bytearray(whole))
    assert reply
    assert reply.body == b"ab\n0\r\n\r\n" + b"c" * 300


def test_events_say_whether_they_ended():
    reply = Reply(200, b'data: {"a": 1}\n\ndata: {"a": 2}\n\n', 0)
    assert events_of(reply) == ([{"a": 1}, {"a": 2}], False)
    assert events_of(Reply(200, reply.body + b"data: [DONE]\n\n", 0)) == ([{"a": 1}, {"a": 2}], True)


def test_a_request_has_its_length_and_headers():
    sent = request("http://127.0.0.1:80", "/v1/x", {"a": 1}, Accept="text/plain")
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/x HTTP/1.1\r\nHost: 127.0.0.1:80\r\n")
    assert b"Accept: text/plain" in head
    assert b"Content-Length: 8" in head
    assert json.loads(body) == {"a": 1}


def test_a_client_opens_a_new_connection_where_one_was_lost():
    seen = count()

    async def ask() -> list[object]:
        async with serving(lambda path, body: b"" if next(seen) == 1 else ok(body)) as url:
            client = Client(url, ASKED, count(), None)  # type: ignore[arg-type]
            found: list[object] = []
            for number in range(3):
                try:
                    found.append((await client.ask("/", number)).json())
                except Lost:
                    found.append("lost")
            client.close()
            return found

    assert asyncio.run(ask()) == [0, "lost", 2]


# -- judging ----------------------------------------------------------------------------------------------------------


def test_an_answer_is_judged_by_its_id_its_hops_and_its_text():
    good = answer_object({"question": "Q3?", "id": "q3"})
    assert judge_object(good, ASKED[3], "q3").name == "right"
    assert judge_object({**good, "id": "q4"}, ASKED[3], "q3").name == "crossed"
    assert judge_object(good, ASKED[4], "q3").name == "crossed"
    assert judge_object({**good, "answer": "A4"}, ASKED[3], "q3").name == "wrong"
    assert judge_object({**good, "corrected": False}, ASKED[3], "q3").name == "wrong"
    assert judge_object({"id": "q3", "error": {"code": "engine_unavailable"}}, ASKED[3], "q3").name == "failed"
    assert judge_object({"id": "q3", "error": {"code": "overloaded"}}, ASKED[3], "q3").name == "turned away"


def test_of_a_list_a_fault_stands_for_all():
    ids = ["q3", "q4", "q5"]
    answers = [answer_object({"question": f"Q{n}?", "id": f"q{n}"}) for n in (3, 4, 5)]
    away = {"id": "q3", "error": {"code": "overloaded"}}
    assert judge_list(answers, ASKED[3:6], ids) == Verdict("right", 3)
    assert judge_list([away, *answers[1:]], ASKED[3:6], ids) == Verdict("turned away", 2)
    assert judge_list([away, answers[2], answers[1]], ASKED[3:6], ids).name == "crossed"
    assert judge_list(answers[:2], ASKED[3:6], ids).name == "lost"


def test_a_completions_evidence_must_be_of_its_question():
    assert judge_text(" A3.\n", "A3", {"hops": [{"prompt": "hop 3"}]}, ASKED[3]).name == "right"
    assert judge_text("A3", "A3", {"hops": [{"prompt": "hop 4"}]}, ASKED[3]).name == "crossed"
    assert judge_text("A4", "A3", None, ASKED[3]).name == "wrong"


def test_every_kind_of_request_is_right_where_the_server_is():
    def event(value: Any) -> bytes:
        return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"

    def said(text: str) -> str:
        """By the model as it is to a cloze or a hop, by hopfix to a question."""
        n = text.rstrip("?").rpartition("Q" if text.startswith("Q") else " ")[2]
        return f"A{n}" if text.startswith("Q") else f"bridge {n}" if text.startswith("hop") else f"D{n}"

    def answer(path: str, body: Any) -> bytes:
        if path == "/v1/answer":
            return ok([answer_object(one) for one in body])
        if path == "/v1/chat/completions":
            text = said(body["messages"][0]["content"])
            if body.get("stream"):
                deltas = [{"choices": [{"delta": {"content": piece}}]} for piece in text]
                return chunked(*map(event, deltas), event({"choices": []}), event(b"[DONE]"))
            return ok({"choices": [{"message": {"content": text}}]})
        text = f" {said(body['prompt'])}."
        if "bridge" in body["prompt"]:
            text = f" T{body['prompt'].split()[4]}"
        if body.get("stream"):
            return chunked(event({"choices": [{"text": text}]}), event(b"[DONE]"))
        return ok({"choices": [{"text": text}]})

    kinds = ("listed", "completion", "completion_stream", "chat", "chat_stream", "two_step")
    found = run(answer, traffic=tuple((kind, 1) for kind in kinds), clients=3, requests=60)
    assert {kind: set(verdicts) for kind, verdicts in found.counts.items()} == {kind: {"right"} for kind in kinds}
    assert found.answers == 60 + 3 * found.counts["listed"]["right"]


def test_lines_are_as_many_as_the_questions():
    def some(missing: int) -> Answerer:
        return lambda path, body: chunked(
            *(json.dumps(answer_object(one)).encode() + b"\n" for one in body[: len(body) - missing])
        )

    assert run(some(0), traffic=(("lines", 1),), clients=1, requests=2).counts == {"lines": Counter(right=2)}
    assert run(some(1), traffic=(("lines", 1),), clients=1, requests=2).counts == {"lines": Counter(lost=2)}


def test_a_stream_without_its_end_is_lost_and_one_with_an_error_failed():
    cut, failed = b'data: {"choices": [{"text": "D"}]}\n\n', b'data: {"error": {"code": "deadline"}}\n\n'
    for content, verdict in ((cut, "lost"), (failed, "failed")):
        found = run(
            lambda path, body, c=content: chunked(c), traffic=(("completion_stream", 1),), clients=1, requests=1
        )
        assert found.verdicts == {verdict: 1}


def test_bad_requests_must_be_refused_as_they_should():
    found = run(lambda path, body: http(400, b""), traffic=(("bad", 1),), clients=1, requests=40)
    assert set(found.verdicts) == {"refused", "unexpected"}


# -- loads ------------------------------------------------------------------------------------------------------------


def test_what_went_wrong_is_counted_by_its_kind():
    number = count()

    def answer(path: str, body: Any) -> bytes:
        good = answer_object(body)
        match next(number) % 7:
            case 0:
                return ok(good)
            case 1:
                return ok({**good, "id": "q999"})
            case 2:
                return ok({**good, "answer": "nonsense"})
            case 3:
                return http(429, b"{}", "Retry-After: 7")
            case 4:
                return http(500, b"{}")
            case 5:
                return http(200, b"<html>")
        return b""

    found = run(answer, clients=1, requests=14)
    names = ("right", "crossed", "wrong", "turned away", "failed", "unexpected", "lost")
    assert found.verdicts == dict.fromkeys(names, 2)
    assert found.statuses == {200: 8, 429: 2, 500: 2}
    assert (found.faults, found.answers, found.asked) == (10, 2, 14)
    assert len(found.examples) == 5
    assert len(found.latencies["right"]) == 2


def test_what_is_never_answered_times_out():
    found = run(lambda path, body: b"HTTP/1.1 200 x\r\n", clients=2, requests=2, timeout=0.05)
    assert found.verdicts == {"timed out": 2}


def test_a_patient_client_comes_again_and_counts_once():
    number = count()

    def answer(path: str, body: Any) -> bytes:
        return http(429, b"{}", "Retry-After: 0") if next(number) % 2 else ok(answer_object(body))

    found = run(answer, clients=1, requests=2, patient=True, seconds=30)
    assert found.verdicts == {"right": 2, "turned away": 1}


def test_an_open_loop_sends_at_its_rate_whatever_is_answered_and_counts_from_the_arrival():
    found = run(lambda path, body: b"HTTP/1.1 200 x\r\n", rate=400.0, requests=100, seed=1, timeout=0.3)
    assert found.verdicts == {"timed out": 100}  # a closed loop of one client would have asked once
    assert len(found.late) == 100
    assert min(found.latencies["timed out"]) >= 0.3


def test_arrivals_are_random_and_the_same_for_a_seed():
    def gaps(seed: int) -> list[float]:
        arrivals = [*_Generator(Load("", requests=2000, seed=seed), ASKED)._arrivals(100.0)]
        return [round(later - earlier, 6) for earlier, later in pairwise(arrivals)]

    assert gaps(1) == gaps(1) != gaps(2)
    assert sum(gaps(1)) / 1999 == pytest.approx(0.01, rel=0.1)


def test_questions_are_distinct_and_asked_in_turn_by_all_clients():
    texts: list[str] = []

    def answer(path: str, body: Any) -> bytes:
        texts.append(body["question"])
        return ok(answer_object(body))

    run(answer, clients=5, requests=20, first=3)
    assert sorted(texts) == sorted(asked.text for asked in ASKED)
    demo = distinct_questions(3000)
    assert len({question.question for question in demo}) == 3000


def test_the_generator_is_lean():
    code = "import sys, eval.bench.serve.load as l; print(sorted({'torch', 'httpx', 'transformers'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


# -- figures and pages ------------------------------------------------------------------------------------------------


def test_percentiles_are_of_the_nearest_rank():
    hundred = [float(n) for n in range(100, 0, -1)]
    assert (percentile(hundred, 0.5), percentile(hundred, 0.99), percentile(hundred, 1.0)) == (50, 99, 100)
    assert percentile([7.0], 0.99) == 7.0
    assert percentile([], 0.5) != percentile([], 0.5)


def test_figures_and_their_spread():
    found = Report(seconds=2.0, cpu_seconds=0.5, answers=100)
    found.counts["single"] = Counter({"right": 100, "turned away": 4, "lost": 1})
    found.latencies |= {"right": [0.1] * 99 + [0.4], "turned away": []}
    one = figures(found, Cpu(1.0, 2.0))
    assert (one["answers_per_second"], one["p50"], one["p99"], one["p99_over_p50"]) == (50, 100, 100, 1)
    assert (one["first_thread"], one["other_threads"], one["generator"], one["faults"]) == (0.5, 1.0, 0.25, 1)
    assert one["cpu_ms_per_answer"] == 30
    over = spread([one, {**one, "p99": 300.0}, {**one, "p99": 200.0}])
    assert over["p99"] == {"median": 200.0, "least": 100.0, "most": 300.0}
    assert "turned_away_p99" not in over


def test_memory_is_flat_or_it_is_not():
    flat = Memory.of([(float(at), 400_000_000 + 1000 * (at % 3)) for at in range(100)])
    assert flat.growth == pytest.approx(0.0, abs=1e-4)
    grows = Memory.of([(float(at), 400_000_000 + 1_000_000 * at) for at in range(100)])
    assert grows.slope == pytest.approx(3600)
    assert grows.growth > 0.1


def test_a_process_and_all_below_it_are_found():
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        while len(found := processes(process.pid)) < 2:
            assert process.poll() is None
        assert found[0] == process.pid
        process.communicate(b"\n")


def results(**given: Any) -> dict[str, Any]:
    load = Report(seconds=1.0, answers=200, cpu_seconds=0.1)
    load.counts["single"] = Counter({"right": 200})
    load.latencies |= {"right": [0.1] * 200, "turned away": [0.001]}
    load.late = [0.0]
    found = spread([figures(load, Cpu(0.5, 1.0))])
    ratio = {"median": 0.8, "least": 0.7, "most": 0.9}
    return {
        "machine": {"processor": "p", "cores": 2, "system": "s"},
        **{"rounds": 1, "seconds": 1.0, "questions": 1, "distinct": 20, "clients": 64, "capacity": 200.0},
        "offline": ratio,
        "closed": found,
        "over_offline": ratio,
        "at_capacity": found,
        "open": {"0.7": found, "1.0": found, "4.0": found},
        "overload_over_closed": ratio,
        "overload_over_open": {**ratio, "median": 1.6},
        "servers": {PIPELINE: {**found, "over": 1.0, "faults": ratio}, "hopfix": {**found, "over": 1.0}},
        "examples": [],
        **given,
    }


def test_the_page_says_what_was_reached_and_what_was_not():
    text = report.markdown(results())
    assert text.startswith("# Benchmarks of the service\n")
    assert "| HTTP | 200 (200 to 200) | 0.80 (0.70 to 0.90) |" in text
    assert "| open, 4 of capacity | 200 (200 to 200) |" in text
    assert "- HTTP over offline throughput: 0.80, goal at least 0.7: reached." in text
    assert "- p99 at 4 times capacity over that at 1: 1.60, goal at most 1.5: **not reached**." in text
    assert "timed out requests: 0, goal 0: reached." in text
    assert "vLLM" not in report.markdown(results(servers={}))


def test_the_soaks_page_ends_in_a_verdict():
    found = {
        "machine": {"processor": "p", "cores": 2, "system": "s"},
        **{"connections": 256, "distinct": 20, "seconds": 10.0, "asked": 100, "answers": 90, "received_mb": 1.0},
        "counts": {kind: {"right": 10} for kind, _ in MIX},
        "statuses": {"200": 90},
        "latency_ms": {"right": {"p50": 1.0, "p99": 2.0}},
        "cpu": {"server": 5.0, "generator": 1.0},
        "memory": vars(Memory(400.0, 404.0, 10.0)),
        **{"memory_growth": 0.01, "afterwards": AFTERWARDS, "faults": 0, "examples": []},
    }
    assert sound(found)
    assert "0 faults, **passed**" in soak_report.markdown(found)
    assert "| all | 90 | 90 | 0 |" in soak_report.markdown(found)
    for wrong in ({"faults": 1}, {"afterwards": 255}, {"memory_growth": 0.06}):
        assert not sound({**found, **wrong})
        assert "**failed**" in soak_report.markdown({**found, **wrong})


def test_every_kind_of_the_mix_exists_and_has_a_name():
    assert {kind for kind, _ in MIX} <= {*KINDS}
    assert {kind for kind, _ in MIX} == {*soak_report.KINDS}
