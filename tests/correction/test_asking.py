"""Where an answer ends, and a bridge's tokens in the places of hop 2, on an engine that says what it is told to."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from correction.asking import Asking, Prompt, Reading
from correction.bridges import likeliest
from correction.corrector import Corrector
from correction.forms import Forms, Wording
from correction.mappings import mapping_named
from correction.models import LoadedModel
from correction.passes import Alternative, Pass, PassResult, Relay, Sampling
from correction.profile import Choice, Profile, Thresholds
from correction.prompts import Prompts
from correction.questions import Hops, Question
from tests.conftest import Asked

PHRASES = Forms(ends="phrase")
KRUGER = Question.from_fields(None, "The country where Kruger National Park is located is", "The currency of {} is")


class Told:
    """Debug stand-in for an engine: says the texts it is given, one after the other, and keeps what it was asked.

    Each token has the log-probability of -0.1 times its number, from 1, and one other likely token.
    """

    name = "told"
    can_patch, context, trouble, down, restarts = True, 1 << 20, None, False, 0

    def __init__(self, loaded: LoadedModel, *texts: str | tuple[int, ...], ends: str = "length") -> None:
        self.loaded, self.ends = loaded, ends
        self.texts = list(texts)
        self.asked: list[Pass] = []

    async def run(self, request: Pass, heard: object = None) -> PassResult:
        self.asked.append(request)
        return self.says(self.texts.pop(0), request)

    def says(self, text: str | tuple[int, ...], request: Pass) -> PassResult:
        tokens = tokens_of(self.loaded, text) if isinstance(text, str) else text
        stopped = self.ends == "stop"
        steps = [(Alternative(token, str(token), 0.5), Alternative(9, "9", 0.2)) for token in tokens]
        return PassResult(
            tokens,
            self.loaded.decode(tokens),
            tuple(-0.1 * number for number in range(1, len(tokens) + 1)),
            -0.01 if stopped else None,
            tuple([*steps, (Alternative(2, "", 0.9),)] if stopped else steps),
            (torch.arange(len(tokens) + 1.0)[:, None].expand(-1, self.loaded.shape.width),),
            len(request.patches),
            len(request.prompt),
            self.ends,
            "told",
        )


class Relays(Told):
    """The same, with hop 2 in one go with hop 1."""

    async def relay(self, first: Pass, then: Relay) -> tuple[PassResult, PassResult | None]:
        said = await self.run(first)
        return said, await self.run(then.second(said))


def asking(loaded: LoadedModel, engine: Told, forms: Forms) -> Asking:
    return Asking(loaded, engine, Prompts(loaded.tokenizer, forms), 16)  # type: ignore[arg-type]


def run(asked: Awaitable[Any]) -> Any:
    async def go() -> Any:
        return await asked

    return asyncio.run(go())


def tokens_of(loaded: LoadedModel, text: str) -> tuple[int, ...]:
    return tuple(loaded.tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize(
    ("said", "name"),
    [("Leo Tolstoy, who", "Leo Tolstoy"), ("Leo Tolstoy. The", "Leo Tolstoy"), ("South Africa is in", "South Africa")],
)
@pytest.mark.parametrize("ends", ["length", "stop"])
def test_all_of_a_result_is_cut_where_its_name_ends(demo: LoadedModel, said: str, name: str, ends: str) -> None:
    kept = tokens_of(demo, name)
    number = len(kept)
    for stage in ("generate", "read"):
        one = asking(demo, Told(demo, said, ends=ends), PHRASES)
        result = run(getattr(one, stage)(Prompt((1,)), "hop1"))
        assert (result.text, result.tokens) == (name, kept)
        assert result.logprobs == tuple(-0.1 * n for n in range(1, number + 1))
        assert result.probability == pytest.approx(math.exp(sum(-0.1 * n for n in range(1, number + 2))))
        assert [step[0].token for step in result.steps] == list(tokens_of(demo, said)[: number + 1])
        assert (result.finished if stage == "read" else result.finish_reason == "stop") is True


def test_a_name_that_nothing_follows_is_as_it_was(demo: LoadedModel) -> None:
    for ends in ("length", "stop"):
        engine = Told(demo, "South Africa", ends=ends)
        whole = engine.says("South Africa", Pass((1,)))
        result = run(asking(demo, engine, PHRASES).generate(Prompt((1,)), "hop1"))
        assert (result.tokens, result.logprobs, result.stop_logprob) == (
            whole.tokens,
            whole.logprobs,
            whole.stop_logprob,
        )
        assert (result.text, result.steps, result.finish_reason) == ("South Africa", whole.steps, ends)


def test_nothing_is_cut_where_answers_end_with_their_line(demo: LoadedModel) -> None:
    result = run(asking(demo, Told(demo, "Paris, France."), Forms()).generate(Prompt((1,)), "hop1"))
    assert (result.text, result.tokens) == ("Paris, France", tokens_of(demo, "Paris, France."))


def test_no_name_at_all_is_an_empty_bridge(demo: LoadedModel) -> None:
    result = run(asking(demo, Told(demo, "", ends="stop"), PHRASES).read(Prompt((1,)), "hop1"))
    assert (result.text, result.tokens, result.logprobs) == ("", (), ())
    assert result.probability == pytest.approx(math.exp(-0.01))


def test_hops_that_a_model_is_asked_for_are_no_name(demo: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("correction.corrector.split_question", lambda text: None)

    async def ask(engine: Told) -> Hops | None:
        used = Profile.uncalibrated(demo, 16, PHRASES)
        corrector = Corrector(demo, engine, uncalibrated=used)  # type: ignore[arg-type]
        return await corrector.decompose(Question("Where did the inventor of Zyx study?"))

    hops = run(ask(Told(demo, "The inventor of Zyx is | {} studied at")))
    assert hops is not None, "cut after Zyx there is no second hop"
    assert (hops.hop1, hops.hop2) == ("The inventor of Zyx is", "{} studied at")


def test_reasoning_is_no_name(demo: LoadedModel) -> None:
    async def ask(engine: Told) -> str:
        used = Profile.uncalibrated(demo, 16, PHRASES)
        corrector = Corrector(demo, engine, uncalibrated=used)  # type: ignore[arg-type]
        return (await corrector.answer(KRUGER, "step_by_step")).answer

    assert run(ask(Told(demo, "The country is South Africa, and the currency of South Africa is rand."))) == "rand"


def test_what_only_ends_a_name_is_no_other_bridge(demo: LoadedModel) -> None:
    """After "Frank Herbert" a comma or a full stop may come: the bridge is the same. After "Frank" another may."""
    frank, her, bert = tokens_of(demo, "Frank Herbert")
    sin, *atra = tokens_of(demo, "Frank Sinatra")[1:]
    comma, stop = tokens_of(demo, "Frank,")[-1], tokens_of(demo, "Frank.")[-1]

    def likely(*tokens: int) -> tuple[Alternative, ...]:
        return tuple(Alternative(token, "", 0.4) for token in tokens)

    steps = (likely(frank), likely(her, sin, stop), likely(bert), likely(comma, stop))
    reading = Reading("Frank Herbert", (frank, her, bert), 0.1, True, None, steps, (-0.9, -0.9, -0.1))
    engine = Told(demo, (*atra, comma, her))
    found = run(likeliest(asking(demo, engine, PHRASES), Prompt((1, 5)), reading, 9))
    assert [request.prompt for request in engine.asked] == [(1, 5, frank, sin)]
    assert {(one.text, one.tokens, one.finished) for one in found} == {
        ("Frank Herbert", (frank, her, bert), True),
        ("Frank Sinatra", (frank, sin, *atra), True),
        ("Frank", (frank,), True),
    }


def test_what_goes_on_from_a_name_ends_it_at_once(demo: LoadedModel) -> None:
    """ ", who" after a name that stands in the prompt: by itself it would be taken for the name."""
    frank, *sinatra = tokens_of(demo, "Frank Sinatra")
    who = tokens_of(demo, "Frank, who")[1:]
    steps = ((Alternative(frank, "", 0.5),), (Alternative(sinatra[0], "", 0.4), Alternative(who[0], "", 0.1)))
    reading = Reading("Frank", (frank,), 0.1, True, None, steps, (-0.9,))
    engine = Told(demo, (*sinatra[1:], *who))
    found = run(likeliest(asking(demo, engine, PHRASES), Prompt((1, 5)), reading, 9))
    assert [(one.text, one.tokens) for one in found] == [
        ("Frank", (frank,)),
        ("Frank Sinatra", (frank, *sinatra)),
    ]
    engine = Told(demo, who)
    result = run(asking(demo, engine, PHRASES).run(Pass((1, frank)), "bridges", begun=(frank,)))
    assert (result.text, result.tokens, result.stop_logprob) == ("Frank", (), -0.1)


@pytest.mark.parametrize(("said", "taken"), [("South Africa", True), ("South Africa, which", False)])
def test_what_was_relayed_with_more_than_the_name_is_dropped(demo: LoadedModel, said: str, taken: bool) -> None:
    engine = Relays(demo, said, "rand", ends="stop")
    one = asking(demo, engine, PHRASES)
    blanks = one.blanks("The currency of {} is", 8)
    assert [len(sites) for _, sites in blanks] == list(range(1, 9))
    then = Relay(blanks, 0, mapping_named("vocabulary"), Sampling(16, 0))
    reading, second = run(one.relay(Prompt((1, 5)), "hop1", 6, 6, then, "hop2"))
    assert (reading.text, reading.tokens) == ("South Africa", tokens_of(demo, "South Africa"))
    assert one.usage.passes == 2, "it was run all the same"
    assert (second.text if second else None) == ("rand" if taken else None)


def test_a_form_that_names_the_bridge_twice_is_not_relayed(demo: LoadedModel) -> None:
    assert asking(demo, Told(demo), Forms(hop2="begun", examples=())).blanks("The currency of {} is", 8) == ()


@pytest.mark.parametrize(
    ("hop1", "name"),
    [
        ("The country where Kruger National Park is located is", "South Africa"),
        ("The author of War and Peace is", "Leo Tolstoy"),
    ],
)
@pytest.mark.parametrize("form", ["plain", "begun"])
def test_one_hot_patches_at_every_mention_are_the_text(
    demo: LoadedModel, demo_profile: Profile, hop1: str, name: str, form: str
) -> None:
    """What the model says then, token for token, by `hard_token`, by `deployed` and by a spelled name."""
    question = Question.from_fields(None, hop1, "The birthplace of {} is")
    forms = Forms(hop2=form, examples=())
    profile = replace(
        demo_profile, forms=forms, choice=Choice(6, 0, "vocabulary"), answer_layer=None, thresholds=Thresholds()
    )
    assert question.hops is not None
    hop2 = question.hops.hop2

    async def go(corrector: Corrector) -> tuple[list[list[Pass]], list[PassResult]]:
        seen: list[Pass] = []
        results: list[PassResult] = []
        engine_run = corrector.engine.run

        async def noting(request: Pass, heard: Any = None) -> PassResult:
            seen.append(request)
            results.append(await engine_run(request))
            return results[-1]

        corrector.engine.run = noting  # type: ignore[method-assign]
        passes, last = [], []
        for strategy in ("two_step", "hard_token", "deployed"):
            seen.clear()
            await corrector.answer(question, strategy)
            passes.append(list(seen))
            last.append(results[-1])
        one = Asking(corrector.loaded, corrector.engine, corrector.prompts, 16)
        last.append(await one.generate(one.spelled(hop2, name), "hop2"))
        passes.append([seen[-1]])
        return passes, last

    passes, results = Asked(demo, profile)(go)
    text = Prompts(demo.tokenizer, forms).encode(Wording.of(hop2).naming("{}", name), "hop2")
    assert passes[0][-1].prompt == text
    assert passes[0][-1].patches == ()
    mentions = 2 if form == "begun" else 1
    bridge = tokens_of(demo, name)
    for by_strategy, result in zip(passes[1:], results[1:], strict=True):
        request = by_strategy[-1]
        assert len(request.prompt) == len(text)
        assert len(request.patches) == mentions * len(bridge)
        patched = [patch.position for patch in request.patches]
        assert [text[at] for at in patched] == list(bridge) * mentions
        assert [token for at, token in enumerate(request.prompt) if at not in patched] == [
            token for at, token in enumerate(text) if at not in patched
        ]
        assert not {request.prompt[at] for at in patched} & set(bridge), "the name itself is not in the prompt"
        assert result.patched == mentions * len(bridge)
    for result in (results[1], results[3]):  # a mixture of embeddings may say something else
        assert result.tokens == results[0].tokens
        assert result.logprobs == pytest.approx(results[0].logprobs, abs=1e-4)


WORDS = ("The", "x", "of", "capital", "was", "founded", "by", "rand")


@pytest.fixture(scope="module")
def bytewise(demo: LoadedModel) -> LoadedModel:
    """The demo's weights behind a tokenizer that has a few words twice: with the space before them and without."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    within = [(word[:end], word[end]) for word in WORDS for end in range(1, len(word))]
    merges = list(dict.fromkeys([*within, *(("Ġ", word) for word in WORDS)]))
    pieces = dict.fromkeys(("<bos>", "<eos>", *alphabet, *map("".join, merges)))
    vocabulary: dict[str, int] = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>")
    assert fast.tokenize("capital of The") == ["capital", "Ġof", "ĠThe"]
    return replace(demo, tokenizer=fast)


def hop_2(loaded: LoadedModel, profile: Profile, hop2: str, said: str, engine: Callable[..., Told] = Told) -> Pass:
    """What is asked of the model about the bridge that hop 1 gave."""
    told = engine(loaded, said, "rand", "rand", ends="stop")

    async def ask() -> None:
        corrector = Corrector(loaded, told, profile)  # type: ignore[arg-type]
        answer = await corrector.answer(Question.from_fields(None, "The country of x is", hop2))
        assert (answer.bridge.text, answer.corrected, answer.answer) == ("The", True, "rand")

    run(ask())
    return told.asked[-1]


def effective(request: Pass) -> tuple[int, ...]:
    """The prompt with the tokens whose embeddings are written over it."""
    tokens = list(request.prompt)
    for patch in request.patches:
        assert (patch.layer, len(patch.state)) == (0, 1), "a token, not a state"
        tokens[patch.position] = int(patch.state[0])
    return tuple(tokens)


@pytest.mark.parametrize("engine", [Told, Relays])
@pytest.mark.parametrize(
    ("hop2", "said", "fits"),
    [
        ("The capital of {} was", " The", True),
        ("The capital of {} was", "The", False),
        ("{} was founded by", "The", True),
        ("{} was founded by", " The", False),
    ],
)
def test_states_of_a_name_go_only_where_it_has_the_same_space_before_it(
    bytewise: LoadedModel, demo_profile: Profile, engine: Callable[..., Told], hop2: str, said: str, fits: bool
) -> None:
    """Else the name is spelled as it is in that place: never "ofThe", never a space at the start."""
    profile = replace(demo_profile, choice=Choice(6, 0, "vocabulary"), answer_layer=None, thresholds=Thresholds())
    request = hop_2(bytewise, profile, hop2, said, engine)
    assert len(request.patches) == 1
    if fits:
        (patch,) = request.patches
        assert patch.mapping is profile.mapping(profile.choice)
        assert len(patch.state) == bytewise.shape.width
    else:
        text = hop2.replace("{}", "The")
        assert effective(request) == Prompts(bytewise.tokenizer).encode(text)
        assert bytewise.text(effective(request)) == text


def test_a_name_has_in_each_place_the_tokens_of_that_place(bytewise: LoadedModel, demo_profile: Profile) -> None:
    """Twice after a space here, while the model has said it without one."""
    forms = Forms(hop2="begun", examples=())
    profile = replace(
        demo_profile, forms=forms, choice=Choice(6, 0, "vocabulary"), answer_layer=None, thresholds=Thresholds()
    )
    prompts = Prompts(bytewise.tokenizer, forms)
    request = hop_2(bytewise, profile, "The capital of {} is", "The")
    text = "Q: What is the capital of The?\nA: The capital of The is"
    assert prompts.form("The capital of The is", "hop2") == text
    assert bytewise.text(effective(request)) == text
    assert effective(request) == prompts.encode("The capital of The is", "hop2")
    assert len(request.patches) == 2
