"""Requests as they come in: what cannot be run is refused with a reason, before it reaches the engine."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch

from correction.engines.vllm.wire import REMEMBERED_CHARACTERS, from_text, mapping_of, outline
from correction.engines.vllm_plugin import KEY, switched_on, text_of
from correction.errors import InvalidInput
from correction.passes import ModelShape, Pass, Patch, Sampling, check_pass

MOST_READ = 16 << 20  # bytes of states that a request may have read


def install() -> None:
    """Puts the check behind vLLM's own, where its errors become 400 over HTTP."""
    from vllm.exceptions import VLLMValidationError
    from vllm.v1.engine.input_processor import InputProcessor

    process = InputProcessor.process_inputs

    def process_inputs(self: Any, *args: Any, **kwargs: Any) -> Any:
        request = process(self, *args, **kwargs)
        text = text_of(request.sampling_params)
        if text is not None:
            try:
                check(request, text, self.vllm_config)
            except InvalidInput as error:
                raise VLLMValidationError(str(error), parameter=KEY) from None
        return request

    InputProcessor.process_inputs = process_inputs


def check(request: Any, text: Any, vllm_config: Any) -> None:
    """Raises `InvalidInput` for sites that this model or this request cannot have."""
    if not switched_on(vllm_config):
        raise InvalidInput(
            "hopfix is not switched on", hint="start vLLM with --additional-config '{\"hopfix\": {}}'", param=KEY
        )
    if not isinstance(text, str):
        raise InvalidInput("hopfix: send text", param=KEY)
    params, prompt = request.sampling_params, request.prompt_token_ids
    if prompt is None:
        raise InvalidInput("hopfix: a prompt of embeddings has no sites", hint="send token ids", param="prompt")
    _check_beside(params)
    model = vllm_config.model_config
    shape = ModelShape(model.get_total_num_hidden_layers(), model.get_hidden_size(), model.get_vocab_size())
    wanted: Pass = replace(from_text(text), prompt=tuple(prompt), sampling=Sampling(params.max_tokens))
    check_pass(wanted, shape, model.max_model_len)
    places = {(patch.layer, patch.position % len(prompt)) for patch in wanted.patches}
    if len(places) < len(wanted.patches):
        raise InvalidInput("hopfix: two patches at one site", hint="send one", param=KEY)
    read = 4 * shape.width * sum(params.max_tokens if capture.follow else 1 for capture in wanted.captures)
    if read > MOST_READ:
        raise InvalidInput(f"hopfix: up to {read} bytes of states would be read, the most is {MOST_READ}", param=KEY)
    if (then := outline(text).then) is not None:
        if not (wanted.captures and wanted.captures[0].follow):
            raise InvalidInput("hopfix: a relay takes up what its first capture has followed", param=KEY)
        if then.least > 0 and params.logprobs is None:
            raise InvalidInput("hopfix: a relay that may be too unsure needs logprobs", hint="ask for 0 or more")
        check_relay = _check_relay if len(text) <= REMEMBERED_CHARACTERS else _check_relay.__wrapped__
        check_relay(text, shape, model.max_model_len)
    if any(capture.position not in (-1, len(prompt) - 1) for capture in wanted.captures):
        params.skip_reading_prefix_cache = True  # a cached position does not run, so nothing could be read there


def _check_beside(params: Any) -> None:
    """What vLLM would answer together with sites, but wrongly or without a report."""
    for wrong, what, hint in (
        (params.n != 1, "one completion a request", "set n to 1"),
        (
            params.prompt_logprobs is not None,
            "no log-probabilities of the prompt",
            "leave out prompt_logprobs and echo",
        ),
        (params.stop, "no stop strings", "use stop_token_ids"),
        (params.structured_outputs is not None, "no structured outputs", "leave them out"),
    ):
        if wrong:
            raise InvalidInput(f"hopfix: {what}", hint=hint, param=KEY)


@lru_cache(maxsize=256)  # questions in the same words have the same relay
def _check_relay(text: str, shape: ModelShape, context: int) -> None:
    """Raises `InvalidInput` unless every second pass that may come of it can be run."""
    then = outline(text).then
    assert then is not None
    mapping, zero = mapping_of(then.mapping), torch.zeros(shape.width)
    for length, (prompt, places) in enumerate(then.blanks, start=1):
        if not len(set(places)) == len(places) == length:
            raise InvalidInput(f"hopfix: {len(places)} placeholders for {length} tokens", param=KEY)
        patches = tuple(Patch(then.layer, place, zero, mapping) for place in places)
        check_pass(Pass(tuple(prompt), (), patches, Sampling(then.max_tokens), then.exit), shape, context)
