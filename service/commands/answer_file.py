"""Answers a file's questions in its order, many at once, and goes on where a line is wrong."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from correction.errors import HopfixError, InvalidInput
from correction.question_file import Line, read_questions
from correction.questions import Question
from service.cli import print_json
from service.commands.text import print_answer, say
from service.errors import error_body
from service.schemas import AnswerObject

if TYPE_CHECKING:
    from correction.answers import Answer

Ask = Callable[[Question], Awaitable["Answer"]]
WINDOW = 256  # lines that are being answered at once: enough for full batches, whatever the file's length


@contextmanager
def opened(name: str) -> Iterator[BinaryIO]:
    """The file, or standard input for `-`."""
    if name == "-":
        yield sys.stdin.buffer
        return
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(Path(name).open("rb"))
        except OSError as error:
            raise InvalidInput(f"cannot read {name}", hint=error.strerror or str(error), param="file") from None
        yield stream


async def answer_file(lines: Iterable[bytes], name: str, ask: Ask, *, json: bool) -> bool:
    """Prints an answer or an error for every line, each as soon as those before it are out; False if any failed."""
    shown = "standard input" if name == "-" else name
    queue: asyncio.Queue[tuple[Line, asyncio.Task[Answer | HopfixError]] | None] = asyncio.Queue(WINDOW)
    failed = count = 0

    async def read() -> None:
        questions = read_questions(lines, shown)
        while (line := await asyncio.to_thread(next, questions, None)) is not None:
            await queue.put((line, asyncio.create_task(_attempt(line, shown, ask))))
        await queue.put(None)

    with _progress() as progress:
        reading = asyncio.create_task(read())
        while (entry := await queue.get()) is not None:
            line, task = entry
            result = await task
            count += 1
            progress(count)
            if isinstance(result, HopfixError):
                failed += 1
                if json:
                    print_json({"id": line.id, **error_body(result)})
                else:
                    say(f"hopfix: {result}")
            elif json:
                print_json(AnswerObject.of(result).model_dump())
            else:
                assert isinstance(line.question, Question)
                print_answer(AnswerObject.of(result), line.question)
                sys.stdout.write("\n")
        await reading
    if count == 0:
        raise InvalidInput(f"{shown} has no questions", hint='write lines such as {"question": "..."}', param="file")
    if failed:
        say(f"hopfix: {failed} of {count} questions could not be answered")
    return failed == 0


async def _attempt(line: Line, name: str, ask: Ask) -> Answer | HopfixError:
    if isinstance(line.question, HopfixError):
        return line.question
    try:
        return await ask(line.question)
    except HopfixError as error:
        return type(error)(f"{name}, line {line.number}: {error.message}", hint=error.hint, param=error.param)


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """A count on the terminal while the answers go elsewhere; nothing where both or neither are on it."""
    if not sys.stderr.isatty() or sys.stdout.isatty():
        yield lambda count: None
        return
    from rich.console import Console

    with Console(stderr=True).status("answering") as status:
        yield lambda count: status.update(f"{count} answered")
