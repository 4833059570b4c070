"""One record, one line, whatever was written into it; and the id of the request that it belongs to."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from service import logs
from service.logs import JSONLine, TextLine

HOSTILE = "a\nERROR forged\r\x1b[31mred\x9b31m\u2028\ud800é"


def record(message: str, *, failed: bool = False, **extra: object) -> logging.LogRecord:
    given = logging.makeLogRecord({"name": "service.test", "levelname": "INFO", "msg": message, "process": 7, **extra})
    if failed:
        try:
            raise RuntimeError(HOSTILE)
        except RuntimeError:
            given.exc_info = sys.exc_info()
    return given


def test_a_json_line_has_what_was_given_by_name() -> None:
    entry = json.loads(JSONLine().format(record("GET /health 200", route="/health", status=200)))
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "level": "info",
        "logger": "service.test",
        "message": "GET /health 200",
        "pid": 7,
        "route": "/health",
        "status": 200,
    }


def test_a_text_line_has_it_too() -> None:
    line = TextLine().format(record("GET /health 200", route="/health", status=200))
    assert line.endswith('Z INFO service.test: GET /health 200 route="/health" status=200')


@pytest.mark.parametrize("form", [JSONLine, TextLine])
def test_nothing_passes_for_another_line(form: type[logging.Formatter]) -> None:
    line = form().format(record(HOSTILE, question=HOSTILE))
    assert line.encode()  # a log is a file of UTF-8
    assert line.isprintable()


def test_lines_of_libraries_are_like_ours(caplog: pytest.LogCaptureFixture) -> None:
    library = logging.getLogger("library")
    library.addHandler(handler := logging.NullHandler())
    library.propagate = False
    logs.adopt("library")
    library.warning("too long")
    assert handler not in library.handlers
    assert caplog.messages == ["too long"]


def test_an_exception_is_a_field_or_stands_in_lines_of_its_own() -> None:
    assert "RuntimeError: a\nERROR forged" in json.loads(JSONLine().format(record("failed", failed=True)))["exception"]
    first, *rest = TextLine().format(record("failed", failed=True)).splitlines()
    assert first.endswith("failed")
    assert all(line.startswith("  ") and line.isprintable() for line in rest)


@pytest.mark.parametrize("form", [JSONLine, TextLine])
def test_every_record_inside_a_request_has_its_id(form: type[logging.Formatter]) -> None:
    token = logs.request_id.set("abc")
    try:
        assert '"abc"' in form().format(record("m"))
        assert '"other"' in form().format(record("m", request_id="other"))
    finally:
        logs.request_id.reset(token)
    assert "request_id" not in form().format(record("m"))


@pytest.mark.anyio
async def test_a_request_is_logged_once_and_its_texts_are_not(connect, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "service")
    async with connect() as client:
        await client.post("/v1/answer", json={"question": "hush"}, headers={"X-Request-ID": "one"})
    (asked,) = (entry for entry in caplog.records if entry.name == "service.middleware")
    assert asked.getMessage() == "POST /v1/answer 200"
    assert (asked.route, asked.status, asked.client) == ("/v1/answer", 200, "127.0.0.1")  # type: ignore[attr-defined]
    assert "hush" not in "".join(JSONLine().format(entry) for entry in caplog.records)


@pytest.mark.anyio
async def test_texts_are_logged_where_that_is_asked_for(connect, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "service")
    async with connect(log_questions=True) as client:
        await client.post("/v1/answer", json={"question": "Who?"})
    (answered,) = (entry for entry in caplog.records if entry.getMessage() == "answered")
    said = json.loads(JSONLine().format(answered))
    assert (said["question"], said["answer"], said["strategy"]) == ("Who?", "answer to Who?", "deployed")
    assert (said["corrected"], said["confidence"]) == (True, 0.8)
