"""What the adapters share: asking a service, reading passages on the way, and saying which extra is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from correction.decomposition import split_question
from correction.errors import HopfixError, InvalidInput
from correction.questions import BLANK
from service.client import AnswerObject, AnswerRequest, AsyncClient, Client
from service.schemas.answer import Strategy

URL = "http://127.0.0.1:8000"
# The strategies that split no question. Named here again because the corrector's own come with torch; a test compares.
WHOLE: tuple[Strategy, ...] = ("direct", "step_by_step", "back_patched")


class MissingExtra(HopfixError, ImportError):
    """An adapter's framework is not installed."""


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around the imports of a framework: raises `MissingExtra` if it is not there."""
    try:
        yield
    except ImportError as error:
        raise MissingExtra(
            f"the extra {name!r} is not installed ({error})", hint=f"pip install 'hopfix[{name}]'"
        ) from error


@dataclass(frozen=True)
class Service:
    """A hopfix service, and how it is asked: `strategy` and `with_direct` go with every question.

    A client for each question: a pipeline may ask from several threads, and from one event loop after another, which a
    connection does not outlive.
    """

    url: str = URL
    key: str | None = field(default=None, repr=False)
    strategy: Strategy = "deployed"
    with_direct: bool = False

    def ask(self, question: str, passages: Iterable[str] = ()) -> AnswerObject:
        """The answer; raises `ClientError` as the client does, `InvalidInput` for what cannot be asked."""
        with Client(self.url, key=self.key) as client:
            return client.answer(self._request(question, passages))

    async def ask_async(self, question: str, passages: Iterable[str] = ()) -> AnswerObject:
        """The same."""
        async with AsyncClient(self.url, key=self.key) as client:
            return await client.answer(self._request(question, passages))

    def _request(self, question: str, passages: Iterable[str]) -> AnswerRequest:
        asked = {"question": question, "strategy": self.strategy, "with_direct": self.with_direct}
        return reading(AnswerRequest.parse(asked), passages)


def reading(asked: AnswerRequest, passages: Iterable[str]) -> AnswerRequest:
    """The question with passages for the model to read: they stand before the prompt of each hop, and before the plain
    question, one a line. A passage has no blank: its `{}` becomes `{ }`.

    Which hop a passage is for is not known before the model has answered hop 1, so each hop has all of them. Where no
    hops are given and none can be read from the question, the model is asked the whole question, uncorrected.
    """
    given = [passages] if isinstance(passages, str) else list(passages)
    if wrong := [passage for passage in given if not isinstance(passage, str)]:
        raise InvalidInput(f"a passage is no text: {wrong[0]!r}", hint="give texts, or the framework's documents")
    lines = [" ".join(passage.split()).replace(BLANK, "{ }") for passage in given]
    before = "".join(f"{line}\n" for line in lines if line)
    if not before:
        return asked
    question = asked.to_question()
    hops = question.hops or split_question(question.text)
    whole = before + question.direct_text
    if hops is None:
        strategy = asked.strategy if asked.strategy in WHOLE else "direct"
        return asked.model_copy(update={"question": whole, "direct": None, "strategy": strategy})
    # Without the bare question: what is asked beside the hops is `direct`.
    read = {f"hop{number}": before + hop for number, hop in enumerate(hops.chain, start=1)}
    return asked.model_copy(update={"question": None, "direct": whole, **read})


def evidence(answer: AnswerObject) -> dict[str, Any]:
    """The answer object as plain data, which frameworks keep beside a text."""
    return answer.model_dump(mode="json")
