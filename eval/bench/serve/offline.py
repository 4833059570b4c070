"""The same engine without a service, in a process of its own: what the answers must be, and how fast they can come."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from correction.answers import Answer
from correction.corrector import Corrector
from correction.decomposition import split_question
from correction.loading import open_corrector
from correction.prompts import as_prompt
from correction.questions import Question
from eval.bench.serve.traffic import Asked
from eval.demo_world.questions import questions_of
from eval.demo_world.world import World
from eval.questions import GoldQuestion

AT_ONCE = 512


def distinct_questions(count: int) -> list[GoldQuestion]:
    """So many questions of the demo world, no two with the same text; about 20,000 for each drawing of wordings."""
    world = World.load()
    chains = list(world.chains)
    found: dict[str, GoldQuestion] = {}
    drawing = 0
    while len(found) < count:
        for question in questions_of(world, chains, len(chains), f"load {drawing}"):
            found.setdefault(question.question, question)
        drawing += 1
    return random.Random("load").sample([*found.values()], count)


@dataclass
class Library:
    """A corrector, and the event loop it lives in."""

    corrector: Corrector
    runner: asyncio.Runner

    def answers(self, questions: Sequence[Question], strategy: str = "deployed") -> list[Answer]:
        """All at once; raises what any of them failed with."""
        answers = self.runner.run(self.corrector.answer_all(questions, strategy))
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers  # type: ignore[return-value]


_opened: list[Library] = []  # this process's one


def begin(threads: int | None = None) -> None:
    """Loads the demo model into this process."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    runner = asyncio.Runner()
    _opened.append(Library(runner.run(open_corrector()), runner))


def end() -> None:
    """Frees what `begin` has loaded."""
    library = _opened.pop()
    library.runner.run(library.corrector.engine.close())
    library.runner.close()


def asked(count: int, beside: Sequence[str] = ()) -> list[Asked]:
    """About so many questions with what is answered to them, and what the strategies `beside` say.

    The few whose hops cannot be read from their text are left out.
    """
    [library] = _opened
    read = [(one, hops) for one in distinct_questions(count) if (hops := split_question(one.question)) is not None]
    found: list[Asked] = []
    for start in range(0, len(read), AT_ONCE):
        some = read[start : start + AT_ONCE]
        answers = library.answers([Question(one.question) for one, _ in some])
        others = {name: library.answers([_for(name, one) for one, _ in some], name) for name in beside}
        found += [
            Asked(
                one.question,
                hops.hop1,
                (as_prompt(hops.hop1), as_prompt(hops.hop2)),
                one.direct or "",
                answers[index].answer,
                answers[index].corrected,
                {name: given[index].answer for name, given in others.items()},
            )
            for index, (one, hops) in enumerate(some)
        ]
    return found


def _for(strategy: str, question: GoldQuestion) -> Question:
    return Question(question.direct or "") if strategy == "direct" else Question(question.question)


def seconds(texts: Sequence[str], at_once: int) -> float:
    """Of answering lists of so many, one after the other, as whoever uses the library has them answered."""
    [library] = _opened
    began = time.perf_counter()
    for start in range(0, len(texts), at_once):
        library.answers([Question(text) for text in texts[start : start + at_once]])
    return time.perf_counter() - began
