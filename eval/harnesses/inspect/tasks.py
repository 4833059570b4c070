"""`inspect eval` on this file: two-hop questions, scored by their dataset's own rule, and the bridge that was read.

hopfix's evidence is there where the provider hands it over; any other model is scored on its answers alone.
"""

from __future__ import annotations

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import CORRECT, INCORRECT, Score, Scorer, Target, accuracy, mean, scorer, stderr
from inspect_ai.solver import TaskState, generate


@task
def two_hop(questions: str | None = None, format: str = "demo", asked: str = "question") -> Task:
    """The questions of a file of this format, or of a dataset on the hub; the bundled model's test set without one.

    `asked` is "question", or "direct" for the cloze that base models complete.
    """
    from eval.harnesses import gold

    if asked not in ("question", "direct"):
        raise ValueError(f"asked={asked}: choose 'question' or 'direct'")
    samples = [
        Sample(
            id=question.id,
            input=(asked == "question" and question.question) or question.ask().direct_text,
            target=list(question.accepted),
            metadata=gold.fields(question, format),
        )
        for question in gold.read(format, questions)
    ]
    return Task(dataset=MemoryDataset(samples, name=format), solver=generate(), scorer=[right(), bridge_right()])


@scorer(metrics=[accuracy(), stderr()])
def right() -> Scorer:
    """Whether the answer is right by the dataset's own rule."""
    from eval.harnesses import gold

    async def score(state: TaskState, target: Target) -> Score:
        answer = state.output.completion
        return Score(value=CORRECT if gold.score(answer, state.metadata).right else INCORRECT, answer=answer)

    return score


@scorer(metrics=[mean(), stderr()])
def bridge_right() -> Scorer:
    """Whether hopfix read the gold bridge; not scored where there is no evidence, or no bridge in it."""
    from eval.harnesses.gold import question_of
    from eval.scoring import exact_match

    async def score(state: TaskState, target: Target) -> Score:
        evidence = (state.output.metadata or {}).get("hopfix") or {}
        bridge, accepted = evidence.get("bridge"), question_of(state.metadata).accepted_bridges
        if not bridge or not accepted:
            return Score.unscored()
        return Score(value=float(exact_match(bridge["text"], accepted)), answer=bridge["text"])

    return score
