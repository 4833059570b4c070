"""`hopfix answer`: one question, or a file of them. Answers go to stdout, talk to stderr."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from correction.question_file import question_of
from service.answering import choose
from service.cli import print_json
from service.commands.answer_file import answer_file, opened
from service.commands.options import (
    Device,
    Dtype,
    Engine,
    Form,
    MaxTokens,
    Model,
    Profile,
    VLLMArgs,
    VLLMKey,
    VLLMUrl,
)
from service.commands.text import print_answer
from service.schemas import AnswerObject, Strategy

if TYPE_CHECKING:
    from correction.answers import Answer
    from correction.corrector import Corrector
    from correction.questions import Question

File = Annotated[str | None, typer.Option(metavar="JSONL", help="Questions as JSON lines; '-' is standard input.")]
Hop1 = Annotated[str | None, typer.Option(help="Asks for the bridge: 'The country where X is located is'.")]
Hop2 = Annotated[str | None, typer.Option(help="Has {} where the bridge goes: 'The currency of {} is'.")]
SourceLayer = Annotated[int | None, typer.Option(help="Layer the bridge's state is taken from.")]
TargetLayer = Annotated[int | None, typer.Option(help="Layer it is written into.")]
Mapping = Annotated[str | None, typer.Option(help="What the state goes through on its way.")]


def command(
    *,
    question: Annotated[str | None, typer.Argument(metavar="QUESTION")] = None,
    file: File = None,
    hop1: Hop1 = None,
    hop2: Hop2 = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line, as HTTP gives it.")] = False,
    strategy: Annotated[Strategy, typer.Option(help="How to answer.")] = "deployed",
    direct: Annotated[bool, typer.Option("--direct", help="Ask for the uncorrected answer too.")] = False,
    source_layer: SourceLayer = None,
    target_layer: TargetLayer = None,
    mapping: Mapping = None,
    model: Model = "demo",
    profile: Profile = None,
    form: Form = None,
    engine: Engine = "hf",
    device: Device = "auto",
    dtype: Dtype = "auto",
    max_tokens: MaxTokens = 16,
    vllm_url: VLLMUrl = None,
    vllm_key: VLLMKey = None,
    vllm_args: VLLMArgs = None,
) -> None:
    """Answer a two-hop question, or a file of them, with the evidence for each answer."""
    fields = {"question": question, "hop1": hop1, "hop2": hop2}
    asked = any(value is not None for value in fields.values())
    if asked == (file is not None):
        wrong = "give a question or a file, not both" if asked else "give a QUESTION, --hop1 with --hop2, or --file"
        raise typer.BadParameter(wrong, param_hint="QUESTION")

    @asynccontextmanager
    async def corrector() -> AsyncIterator[Corrector]:
        from correction.loading import open_corrector

        corrector = await open_corrector(
            model,
            profile=profile,
            form=form,
            engine=engine,
            device=device,
            dtype=dtype,
            max_tokens=max_tokens,
            vllm_url=vllm_url,
            vllm_key=vllm_key,
            vllm_args=vllm_args,
        )
        try:
            yield corrector
        finally:
            await corrector.engine.close()

    async def ask(corrector: Corrector, question: Question) -> Answer:
        choice = choose(corrector, strategy, source_layer, target_layer, mapping, files=True)
        return await corrector.answer(question, strategy, choice=choice, with_direct=direct)

    async def answer_one(question: Question) -> None:
        async with corrector() as ready:
            answer = AnswerObject.of(await ask(ready, question))
        if json:
            print_json(answer.model_dump())
        else:
            print_answer(answer, question)

    async def answer_many(name: str) -> bool:
        with opened(name) as lines:
            async with corrector() as ready:
                choose(
                    ready, strategy, source_layer, target_layer, mapping, files=True
                )  # one complaint, not one a line
                return await answer_file(lines, name, lambda question: ask(ready, question), json=json)

    # What is wrong with a question or a file's name is said before seconds are spent on the model.
    if file is None:
        asyncio.run(answer_one(question_of(fields)))
    elif not asyncio.run(answer_many(file)):
        raise typer.Exit(1)
