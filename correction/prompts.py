"""How text goes to a model: each kind of pass in its form, and where the placeholder of a bridge stands in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerBase

from correction.errors import InvalidInput
from correction.forms import FORMS, PLAIN, Example, Form, Forms, Kind, Wording, is_question
from correction.questions import BLANK

PLACEHOLDER = "x"
REMEMBERED = 4096  # wordings with a blank
REMEMBERED_CHARACTERS = 256  # of one: many questions share a short wording, and long ones would fill the memory
STEP_BY_STEP = "Let's think step by step."
_MARK = "\ue000"  # stands for the bridge while a prompt is laid out; Unicode gives this character to nobody
# How an answer is begun where a question has no statement: after examples, and in a chat.
_BEGUN = {False: "The answer is", True: "The short answer is"}

_CHAT = FORMS["chat"]

Text = str | Wording


def as_prompt(text: str) -> str:
    """The text in the form `plain`: a statement stays, a question becomes `Q: ...` newline `A:`."""
    text = text.strip()
    return f"Q: {text}\nA:" if is_question(text) else text


def without_full_stop(answer: str) -> str:
    """The answer without the full stop that ends a sentence; one of an abbreviation stays ("Washington D.C.")."""
    last = answer.rpartition(" ")[2]
    return answer[:-1].rstrip() if last.endswith(".") and "." not in last[:-1] else answer


@dataclass(frozen=True)
class Blank:
    """A prompt with placeholders where a bridge goes.

    mentions: for each place that names the bridge, the indices of its placeholder tokens, in order. spaced: for each,
    whether a space stands before the name and belongs to its first token.
    """

    tokens: tuple[int, ...]
    mentions: tuple[tuple[int, ...], ...]
    spaced: tuple[bool, ...]

    @property
    def sites(self) -> tuple[int, ...]:
        """Every placeholder's index, mention by mention."""
        return tuple(site for mention in self.mentions for site in mention)


@dataclass(frozen=True, eq=False)
class Prompts:
    """Turns texts into token ids for one tokenizer, each kind of pass in its form.

    Raises `InvalidInput` for forms that need a chat template where the tokenizer has none.
    """

    tokenizer: PreTrainedTokenizerBase
    forms: Forms = PLAIN
    placeholder: str = PLACEHOLDER
    _blanks: dict[tuple[str, Kind, int], Blank] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.forms.chat and not self.has_template:
            raise InvalidInput(
                "a form is a chat, and the tokenizer has no chat template",
                hint="choose plain, examples, asked or begun",
                param="form",
            )

    @property
    def has_template(self) -> bool:
        """Whether the model chats."""
        return bool(getattr(self.tokenizer, "chat_template", None))

    def form(self, text: Text, kind: Kind = "direct") -> str:
        """The text as the model sees it, special tokens aside."""
        form, wording = self.forms.of(kind), _wording(text)
        question = wording.question or wording.statement or wording.given
        begun = (wording.statement or _BEGUN[form.chat]) if form.begins else ""
        if form.chat:
            return self._turns(form, question) + begun
        if form.asks:
            asked = f"Q: {question}\nA:{begun and ' '}{begun}"
        else:
            asked = as_prompt(wording.given if form.name == "plain" else wording.statement or wording.given)
        return self._examples(form) + asked

    def shared(self, kind: Kind) -> tuple[int, ...]:
        """The tokens that every prompt of a kind begins with, its examples or the start of its chat: an engine can run
        them once for all. The text's last token is left out, which may be another one once something follows."""
        form = self.forms.of(kind)
        begins = self._turns(form, _MARK).partition(_MARK)[0] if form.chat else self._examples(form)
        return self._ids(begins, form)[0][:-1] if begins else ()

    def _examples(self, form: Form) -> str:
        shown = []
        for example in self.forms.examples if form.examples else ():
            asked = f"Q: {example.question}\nA: " if form.asks else ""
            shown.append(f"{asked}{self._said(form, example)}\n")
        return "".join(shown)

    def _turns(self, form: Form, question: str) -> str:
        turns: list[dict[str, str]] = []
        for example in self.forms.examples if form.examples else ():
            turns += [
                {"role": "user", "content": example.question},
                {"role": "assistant", "content": self._said(form, example)},
            ]
        return self._templated([*turns, {"role": "user", "content": question}])

    def _templated(self, turns: Sequence[Mapping[str, str]]) -> str:
        try:
            return str(self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
        except Exception as error:  # a template is a program of the model's makers
            reason = str(error).partition("\n")[0]
            raise InvalidInput("the chat template refuses the messages", hint=reason, param="messages") from error

    @staticmethod
    def _said(form: Form, example: Example) -> str:
        return f"{example.statement} {example.answer}." if form.begins else example.answer

    def form_chat(self, messages: Sequence[Mapping[str, str]]) -> str:
        """A chat as the model sees it: in its template, else the last user message in the form of any other text.

        Raises `InvalidInput` for messages that the template refuses, or without one of the user.
        """
        if self.has_template:
            return self._templated(messages)
        for message in reversed(messages):
            if message["role"] == "user":
                return self.form(message["content"])
        raise InvalidInput("there is no user message", hint="send the text with role 'user'", param="messages")

    def encode(self, text: Text, kind: Kind = "direct") -> tuple[int, ...]:
        """Token ids of a text in the form of its kind."""
        return self._ids(self.form(text, kind), self.forms.of(kind))[0]

    def encode_step_by_step(self, text: str) -> tuple[int, ...]:
        """Token ids of a text with "Let's think step by step" (Kojima et al. 2022): the model is to reason aloud."""
        if self.has_template:
            turn = {"role": "user", "content": f"{text.strip()}\n{STEP_BY_STEP}"}
            return self._ids(self._templated([turn]), _CHAT)[0]
        return self._ids(f"Q: {text.strip()}\nA: {STEP_BY_STEP}")[0]

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        """Token ids of a chat, up to where the answer begins; raises as `form_chat` does."""
        return self._ids(self.form_chat(messages), _CHAT if self.has_template else self.forms.of("direct"))[0]

    def encode_raw(self, text: str) -> tuple[int, ...]:
        """Token ids of a text that is a prompt already: no form, no template."""
        return tuple(self.tokenizer(text)["input_ids"])

    def encode_blank(self, text: str, width: int = 1, kind: Kind = "target") -> Blank:
        """A text whose `{}` became `width` placeholder tokens, wherever its form names the bridge.

        The places come from character offsets. Raises `InvalidInput` where the tokenizer merges the placeholder with
        its neighbours, or a chat template rewrites the text.
        """
        if len(text) > REMEMBERED_CHARACTERS:
            return self._encode_blank(text, width, kind)
        key = (text, kind, width)
        if key not in self._blanks:
            if len(self._blanks) >= REMEMBERED:
                self._blanks.clear()
            self._blanks[key] = self._encode_blank(text, width, kind)
        return self._blanks[key]

    def _encode_blank(self, text: str, width: int, kind: Kind) -> Blank:
        placeholders = " ".join([self.placeholder] * width)
        formed, places = self._filled(text, placeholders, kind)
        ids, offsets = self._ids(formed, self.forms.of(kind))
        mentions = []
        for start in places:
            sites = []
            for index, (first, last) in _overlapping(formed, offsets, start, start + len(placeholders)):
                if formed[first:last].strip() != self.placeholder:
                    break
                sites.append(index)
            if len(sites) != width:
                raise InvalidInput(
                    f"the tokenizer does not keep the placeholder {self.placeholder!r} in {text!r} as one token",
                    hint="choose another placeholder, or put spaces around {}",
                    param="hop2",
                )
            mentions.append(tuple(sites))
        return Blank(ids, tuple(mentions), tuple(self.spaced(ids[mention[0]]) for mention in mentions))

    def encode_named(self, text: str, name: str, kind: Kind) -> Blank:
        """A text whose `{}` became a name, with the tokens that the name has there; these can differ from mention to
        mention, since byte-level tokenizers have two tokens for a word, with and without the space before it."""
        formed, places = self._filled(text, name, kind)
        ids, offsets = self._ids(formed, self.forms.of(kind))
        mentions = tuple(
            tuple(index for index, _ in _overlapping(formed, offsets, start, start + len(name))) for start in places
        )
        return Blank(ids, mentions, tuple(self.spaced(ids[mention[0]]) for mention in mentions))

    def spaced(self, token: int) -> bool:
        """Whether the space before a word belongs to this token."""
        return str(self.tokenizer.convert_ids_to_tokens(token))[:1] in ("Ġ", "▁", " ")

    def _filled(self, text: str, name: str, kind: Kind) -> tuple[str, list[int]]:
        """The text in its form with a name in place of `{}`, and where that begins, once for each mention."""
        wording = Wording.of(text)
        marked = self.form(wording.naming(BLANK, _MARK), kind)
        formed = self.form(wording.naming(BLANK, name), kind)
        if _MARK not in marked or marked.replace(_MARK, name) != formed:
            raise InvalidInput(
                f"the chat template does not keep {text!r} as it is", hint="use a plain template", param="hop2"
            )
        pieces = marked.split(_MARK)
        return formed, [len(name.join(pieces[:number])) for number in range(1, len(pieces))]

    def _ids(self, formed: str, form: Form = FORMS["plain"]) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
        # A chat template writes its own special tokens.
        encoded = self.tokenizer(formed, return_offsets_mapping=True, add_special_tokens=not form.chat)
        return tuple(encoded["input_ids"]), list(encoded["offset_mapping"])


def _wording(text: Text) -> Wording:
    return text if isinstance(text, Wording) else Wording.of(text)


def _overlapping(
    formed: str, offsets: Sequence[tuple[int, int]], start: int, end: int
) -> Iterator[tuple[int, tuple[int, int]]]:
    """The tokens that share a character with [start, end), a space before a word aside: some tokenizers count it."""
    for index, (begin, last) in enumerate(offsets):
        piece = formed[begin:last]
        first = begin + len(piece) - len(piece.lstrip())
        if first < last and first < end and last > start:
            yield index, (begin, last)
