"""The client for blocking code. Each method is described in `service.client.calls`, what it raises in `.errors`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self, TypeVar

import httpx

from service.client import calls
from service.client.calls import Answered, Call, Looked, Question, Retries
from service.client.errors import from_response, from_transport
from service.schemas import AnswerObject, OutcomeObject, PatchscopeRequest, ProfileObject, TokenizeRequest, Tokens

T = TypeVar("T")
USUAL = Retries()


class Client:
    """A service at a URL. `key` is an API key, `timeout` seconds without a byte; `retries` says when to try again.

    Every method raises `ClientError`: one of its subclasses for each status.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        key: str | None = None,
        timeout: float = 90.0,
        retries: Retries = USUAL,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(
            base_url=url,
            headers=calls.headers(key),
            timeout=timeout,
            transport=transport,
            verify=calls.certificates(),
        )
        self._retries = retries

    def answer(self, question: Question) -> AnswerObject:
        """The answer to one question: its text, or an `AnswerRequest` with hops, strategy and so on."""
        return self._call(calls.answer(question))

    def answers(self, questions: Iterable[Question]) -> list[Answered]:
        """The answers to a list, in its order; `FailedAnswer` where there is none. All come at once.

        A list has at most 256 questions unless the service is set otherwise; `stream` takes longer ones.
        """
        return self._call(calls.answers(questions))

    def stream(self, questions: Iterable[Question]) -> Iterator[Answered]:
        """The answers to a long list, in its order, as they come. Closing the iterator abandons the rest."""
        call = calls.stream(questions)
        response = self._send(call, stream=True)
        lines = calls.LineBuffer()
        try:
            for chunk in response.iter_bytes():
                for line in lines.feed(chunk):
                    yield call.read(line)
        except httpx.TransportError as error:
            raise from_transport(error) from error
        finally:
            response.close()

    def patchscope(self, scope: PatchscopeRequest) -> OutcomeObject:
        """What a Patchscope says. Raises `Refused` for sites, mappings or spans that do not fit the served model."""
        return self._call(calls.patchscope(scope))

    def patchscopes(self, scopes: Iterable[PatchscopeRequest]) -> list[Looked]:
        """What each of a list says, in its order; `FailedPatchscope` where nothing."""
        return self._call(calls.patchscopes(scopes))

    def tokenize(self, text: str | TokenizeRequest) -> Tokens:
        """The tokens of a text, or of a question or chat in the form the model reads it in."""
        return self._call(calls.tokenize(text))

    def profile(self) -> ProfileObject:
        """What is deployed: the profile in use, with the evidence it was chosen on."""
        return self._call(calls.PROFILE)

    def reload(self) -> ProfileObject:
        """Has the service read its profile's folder again; needs an admin's key where keys are asked for."""
        return self._call(calls.RELOAD)

    def models(self) -> list[str]:
        """The models' names: the first corrects."""
        return [model.id for model in self._call(calls.MODELS).data]

    def ready(self) -> bool:
        """Whether questions are answered now; asks once."""
        try:
            response = self._http.send(calls.READY.request(self._http))
        except httpx.TransportError as error:
            raise from_transport(error) from error
        if not response.is_success and response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            raise from_response(response)
        return response.is_success

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, call: Call[T]) -> T:
        return call.read(self._send(call).content)

    def _send(self, call: Call[T], *, stream: bool = False) -> httpx.Response:
        tried = 0
        while True:
            tried += 1
            try:
                response = self._http.send(call.request(self._http), stream=stream)
                if response.is_success:
                    return response
                response.read()
                error = from_response(response)
            except httpx.TransportError as broken:
                raise from_transport(broken) from broken
            time.sleep(self._retries.wait(error, tried))
