"""`make demo`: a handful of two-hop questions about bridges the model never saw two hops of, side by side."""

from __future__ import annotations

import asyncio

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from correction.answers import Answer
from correction.loading import open_corrector
from eval.demo_world.questions import demo_questions
from eval.scoring import exact_match

COUNT = 10


async def main() -> None:
    """Asks, and prints direct answer, bridge and corrected answer."""
    questions = demo_questions("test", COUNT)
    corrector = await open_corrector()
    try:
        answers = await corrector.answer_all([q.ask(withhold_hops=True) for q in questions], with_direct=True)
    finally:
        await corrector.engine.close()
    table = Table(title="The demo model, asked two hops at once and corrected", title_justify="left")
    for column in ("question", "direct answer", "bridge", "corrected answer"):
        table.add_column(column)
    for question, answer in zip(questions, answers, strict=True):
        if isinstance(answer, Answer):
            table.add_row(
                question.question,
                _marked(answer.direct_answer or "", question.accepted),
                f"{answer.bridge.text} ({answer.bridge.probability:.2f})" if answer.bridge else "",
                _marked(answer.answer, question.accepted),
            )
    Console().print(table)


def _marked(text: str, accepted: tuple[str, ...]) -> str:
    return f"[green]{escape(text)}[/]" if exact_match(text, accepted) else f"[red]{escape(text)}[/] ✗"


if __name__ == "__main__":
    asyncio.run(main())
