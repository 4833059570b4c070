"""How text goes to a model: its form, and where the placeholder of a bridge stands in it.

A prompt that ends in a question mark is a question; everything else is a statement to be completed. A base model gets a
question as `Q: ...` newline `A:` and a statement as it is; a model with a chat template gets either in a user's turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerBase

from correction.errors import InvalidInput
from correction.questions import BLANK

PLACEHOLDER = "x"
REMEMBERED = 4096  # wordings with a blank
REMEMBERED_CHARACTERS = 256  # of one: many questions share a short wording, and long ones would fill the memory
STEP_BY_STEP = "Let's think step by step."
_INSTRUCTIONS = {
    True: "Answer with the answer only, no explanation.\n",
    False: "Complete the sentence. Answer with the missing words only, no explanation.\n",
}


def is_question(text: str) -> bool:
    """Whether the text asks (ends in a question mark) rather than stops before its answer."""
    return text.rstrip().endswith("?")


def as_prompt(text: str) -> str:
    """The text as a base model is asked it: a cloze stays, a question becomes `Q: ...` newline `A:`."""
    text = text.strip()
    return f"Q: {text}\nA:" if is_question(text) else text


def instructed(text: str) -> str:
    """The text as a chat model's user asks it: with what kind of answer is wanted."""
    return _INSTRUCTIONS[is_question(text)] + text.strip()


def without_full_stop(answer: str) -> str:
    """The answer without the full stop that ends a sentence; one of an abbreviation stays ("Washington D.C.")."""
    last = answer.rpartition(" ")[2]
    return answer[:-1].rstrip() if last.endswith(".") and "." not in last[:-1] else answer


@dataclass(frozen=True, eq=False)
class Prompts:
    """Turns texts into token ids for one tokenizer. `chat` puts them into the tokenizer's chat template."""

    tokenizer: PreTrainedTokenizerBase
    chat: bool = False
    placeholder: str = PLACEHOLDER
    _blanks: dict[tuple[str, int], tuple[tuple[int, ...], tuple[int, ...]]] = field(
        default_factory=dict, init=False, repr=False
    )

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, placeholder: str = PLACEHOLDER) -> Prompts:
        """Uses the chat template if the tokenizer has one."""
        return cls(tokenizer, bool(getattr(tokenizer, "chat_template", None)), placeholder)

    def form(self, text: str) -> str:
        """The text as the model sees it, special tokens aside."""
        if not self.chat:
            return as_prompt(text)
        message = {"role": "user", "content": instructed(text)}
        return str(self.tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True))

    def form_chat(self, messages: Sequence[Mapping[str, str]]) -> str:
        """A chat as the model sees it: in its template, else the last user message in the form of any other text.

        Raises `InvalidInput` for messages that the template refuses, or without one of the user.
        """
        if self.chat:
            try:
                return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
            except Exception as error:  # a template is a program of the model's makers
                reason = str(error).partition("\n")[0]
                raise InvalidInput("the chat template refuses the messages", hint=reason, param="messages") from error
        for message in reversed(messages):
            if message["role"] == "user":
                return self.form(message["content"])
        raise InvalidInput("there is no user message", hint="send the text with role 'user'", param="messages")

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a text."""
        return self._ids(self.form(text))[0]

    def encode_step_by_step(self, text: str) -> tuple[int, ...]:
        """Token ids of a text with "Let's think step by step" (Kojima et al. 2022): the model is to reason aloud."""
        if self.chat:
            message = {"role": "user", "content": f"{text.strip()}\n{STEP_BY_STEP}"}
            formed = self.tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
            return self._ids(str(formed))[0]
        return self._ids(f"Q: {text.strip()}\nA: {STEP_BY_STEP}")[0]

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        """Token ids of a chat, up to where the answer begins; raises as `form_chat` does."""
        return self._ids(self.form_chat(messages))[0]

    def encode_raw(self, text: str) -> tuple[int, ...]:
        """Token ids of a text that is a prompt already: no form, no template."""
        return tuple(self.tokenizer(text)["input_ids"])

    def encode_blank(self, text: str, width: int = 1) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Token ids of a text whose `{}` became `width` placeholder tokens, and the indices of these.

        The indices come from character offsets. Raises `InvalidInput` where the tokenizer merges the placeholder with
        its neighbours, or a chat template rewrites the text.
        """
        if len(text) > REMEMBERED_CHARACTERS:
            return self._encode_blank(text, width)
        key = (text, width)
        if key not in self._blanks:
            if len(self._blanks) >= REMEMBERED:
                self._blanks.clear()
            self._blanks[key] = self._encode_blank(text, width)
        return self._blanks[key]

    def _encode_blank(self, text: str, width: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        placeholders = " ".join([self.placeholder] * width)
        text = text.strip()
        filled = text.replace(BLANK, placeholders)
        formed = self.form(filled)
        begins = formed.rfind(filled)  # a template may have braces of its own
        if begins < 0:
            raise InvalidInput(
                f"the chat template does not keep {text!r} as it is", hint="use a plain template", param="hop2"
            )
        start = begins + text.index(BLANK)
        ids, offsets = self._ids(formed)
        sites: list[int] = []
        for index, (begin, last) in enumerate(offsets):
            piece = formed[begin:last]
            first = begin + len(piece) - len(piece.lstrip())  # some tokenizers count the space before a word
            if first < last and first < start + len(placeholders) and last > start:
                if piece.strip() != self.placeholder:
                    break
                sites.append(index)
        if len(sites) != width:
            raise InvalidInput(
                f"the tokenizer does not keep the placeholder {self.placeholder!r} in {text!r} as one token",
                hint="choose another placeholder, or put spaces around {}",
                param="hop2",
            )
        return ids, tuple(sites)

    def _ids(self, formed: str) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
        # A chat template writes its own special tokens.
        encoded = self.tokenizer(formed, return_offsets_mapping=True, add_special_tokens=not self.chat)
        return tuple(encoded["input_ids"]), list(encoded["offset_mapping"])
