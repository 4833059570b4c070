"""Asks the model itself for the two hops of a question, by a few examples on one line each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from correction.errors import InvalidInput
from correction.questions import Hops

MAX_TOKENS = 64
_EXAMPLES = (
    (
        "What is the capital of the country where the Taj Mahal stands?",
        "The country where the Taj Mahal stands is | The capital of {} is",
    ),
    ("Who was the teacher of the composer of Fidelio?", "The composer of Fidelio is | The teacher of {} was"),
    ("What is the capital of Peru?", "one hop"),
    (
        "Ada Lovelace's father was born in which city?",
        "The father of Ada Lovelace is | {} was born in the city of",
    ),
)


def few_shot_prompt(question: str) -> str:
    """The examples and the question, ending where the model is to write the hops."""
    shown = [f"Question: {asked}\nHops: {hops}\n" for asked, hops in _EXAMPLES]
    return "\n".join(["Split each question into its two hops.\n", *shown, f"Question: {question.strip()}\nHops:"])


def read_reply(question: str, reply: str) -> Hops | None:
    """The hops that a reply states, or None if it states none that the question bears out."""
    hop1, bar, hop2 = reply.strip().partition("|")
    if not bar:
        return None
    known = set(question.lower().replace("?", " ").replace("'s", " ").split())
    names = [word for word in hop1.split()[1:] if word[:1].isupper()]
    # A model that copies an example names an entity that nobody asked about.
    if not names or any(word.lower().strip(".,'") not in known for word in names):
        return None
    try:
        return Hops(hop1.strip(), hop2.strip())
    except InvalidInput:
        return None


async def ask_model(question: str, complete: Callable[[str, int], Awaitable[str]]) -> Hops | None:
    """The model's own split of a question; `complete(prompt, max_tokens)` gives one line of text."""
    return read_reply(question, await complete(few_shot_prompt(question), MAX_TOKENS))
