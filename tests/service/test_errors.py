"""Every error has OpenAI's body and a status that says whose turn it is."""

from __future__ import annotations

import inspect
import json

import pytest

import correction.errors
import service.errors
from correction.errors import HopfixError
from service.errors import body, error_body, error_headers, rule_for

STATUS = {
    "InvalidInput": 400,
    "PromptTooLong": 400,
    "NotJSON": 400,
    "InvalidFields": 422,
    "Unauthorised": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "TooLarge": 413,
    "Overloaded": 429,
    "RateLimited": 429,
    "BodyTooSlow": 408,
    "ProfileRefused": 409,
    "ClientGone": 499,
    "NotReady": 503,
    "Draining": 503,
    "EngineUnavailable": 503,
    "DeadlineExceeded": 504,
    "PatchNotApplied": 500,
    "HubError": 500,
    "ModelNotFound": 500,
    "UnsupportedModel": 500,
    "InvalidMapping": 500,
    "InvalidProfile": 500,
    "HopfixError": 500,
}
ERRORS = {
    kind
    for module in (correction.errors, service.errors)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, HopfixError)
}


@pytest.mark.parametrize("kind", sorted(ERRORS, key=lambda kind: kind.__name__))
def test_every_error_has_its_status(kind: type[HopfixError]) -> None:
    assert rule_for(kind("wrong")).status == STATUS[kind.__name__]


@pytest.mark.parametrize("kind", sorted(ERRORS, key=lambda kind: kind.__name__))
def test_who_may_try_again_is_told_when(kind: type[HopfixError]) -> None:
    assert ("Retry-After" in error_headers(kind("wrong"))) == kind.retryable


def test_the_body_is_openais() -> None:
    error = correction.errors.InvalidInput("hop1 is empty", hint="give it", param="hop1")
    assert error_body(error) == {
        "error": {
            "message": "hop1 is empty: give it",
            "type": "invalid_request_error",
            "param": "hop1",
            "code": "invalid_input",
        }
    }


def test_a_clients_half_surrogate_can_be_sent_back() -> None:
    json.dumps(body("\ud800", "type", "code", "\ud800"), ensure_ascii=False).encode()
