"""DSPy: `Hopfix`, a module that asks the service, and `QuestionAdapter`, with which `dspy.LM` does.

DSPy's own adapters wrap a question in instructions and field markers, from which no hops can be read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from correction.errors import InvalidInput
from service.client import AnswerObject
from service.pipelines.asking import URL, Service, evidence, extra
from service.schemas.answer import Strategy

with extra("dspy"):
    import dspy


class Hopfix(dspy.Module):
    """`question`, and perhaps `context`, to a Prediction: its `answer`, and as `hopfix` the answer object.

    Raises `ClientError` as the client does.
    """

    def __init__(
        self,
        url: str = URL,
        *,
        key: str | None = None,
        strategy: Strategy = "deployed",
        with_direct: bool = False,
    ) -> None:
        super().__init__()
        self.service = Service(url, key, strategy, with_direct)

    def forward(self, question: str, context: Iterable[str] = ()) -> dspy.Prediction:
        """Asks; `context` is passages to read."""
        return _prediction(self.service.ask(question, context))

    async def aforward(self, question: str, context: Iterable[str] = ()) -> dspy.Prediction:
        """The same."""
        return _prediction(await self.service.ask_async(question, context))


class QuestionAdapter(dspy.Adapter):
    """Sends the signature's one input, `question`, as it is, and takes the reply as its one output, a text.

    Instructions and examples do not reach the model; for passages there is `Hopfix`.
    """

    def format(
        self, signature: type[dspy.Signature], demos: list[dict[str, Any]], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """One message of the user. Raises `InvalidInput` for any other signature."""
        outputs = [field.annotation for field in signature.output_fields.values()]
        if list(signature.input_fields) != ["question"] or outputs != [str]:
            raise InvalidInput(
                f"hopfix gives a text for a question, and the signature is {signature.signature!r}",
                hint="use one like 'question -> answer', its output a str",
            )
        if not inputs.get("question"):
            raise InvalidInput("no question was given", hint="call the predictor with question=...")
        return [{"role": "user", "content": inputs["question"]}]

    def parse(self, signature: type[dspy.Signature], completion: str) -> dict[str, Any]:
        """The reply as it is."""
        return dict.fromkeys(signature.output_fields, completion.strip())


def _prediction(answer: AnswerObject) -> dspy.Prediction:
    return dspy.Prediction(answer=answer.answer, hopfix=evidence(answer))
