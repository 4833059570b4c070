"""The multi-hop protocol as the paper's own notebook runs it (PAIR-code/interpretability, multihop-CoT.ipynb).

Its columns are named the other way round from the text: the state is that of the last token before the bridge in hop
2's prompt ("Who is the current CEO of "), written over the last token of hop 1's phrase ("the company that created
WinDbg"), and a question counts as right if any of the L x L pairs of layers gives the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import torch

from correction.corrector import Corrector
from correction.grid import GridPass
from correction.passes import Capture, Pass, Sampling
from correction.prompts import without_full_stop
from correction.questions import BLANK
from eval.questions import GoldQuestion
from eval.scorers import Scorer


def fits(question: GoldQuestion) -> bool:
    """Whether the protocol can be run: two hops, and words before the bridge in hop 2."""
    return bool(question.hop1 and not question.hop3 and question.hop2.partition(BLANK)[0].strip())


async def notebook_oracle(corrector: Corrector, questions: Sequence[GoldQuestion], scorer: Scorer) -> list[bool]:
    """Whether any pair of layers gives each question's answer. It reads the gold answer: never deployable."""
    if not questions:
        return []
    depth, prompts = corrector.loaded.parts.depth, corrector.prompts
    captures = tuple(Capture(layer) for layer in range(1, depth + 1))
    before = [q.hop2.partition(BLANK)[0].strip() for q in questions]
    read = Sampling(max_tokens=0, top_logprobs=0)
    given = await asyncio.gather(
        *(corrector.engine.run(Pass(prompts.encode_raw(text), captures, sampling=read)) for text in before)
    )
    states = torch.stack([torch.stack([state[0] for state in result.states]) for result in given])
    phrases = [prompts.encode_raw(q.hop1.strip().removesuffix(" is")) for q in questions]
    request = GridPass(
        phrases, [len(p) - 1 for p in phrases], states, list(range(depth)), max_tokens=corrector.max_tokens
    )
    grid = await corrector.engine.grid(request)
    marks = []
    for question, rows in zip(questions, grid.tokens.flatten(1, 2).tolist(), strict=True):
        texts = {without_full_stop(corrector.loaded.decode([t for t in cell if t >= 0])) for cell in rows}
        marks.append(any(scorer.score([text], question).right for text in texts))
    return marks
