"""Requests as they come in: what cannot be run is refused with a reason, before it reaches the engine."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from correction.engines.vllm.wire import from_text, outline, relayed
from correction.engines.vllm_plugin import KEY, switched_on, text_of
from correction.errors import InvalidInput
from correction.passes import ModelShape, Pass, Sampling, check_pass


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
    if params.n != 1:
        raise InvalidInput("hopfix: one completion a request", hint="set n to 1", param="n")
    wanted: Pass = replace(from_text(text), prompt=tuple(prompt), sampling=Sampling(params.max_tokens))
    model = vllm_config.model_config
    shape = ModelShape(model.get_total_num_hidden_layers(), model.get_hidden_size(), model.get_vocab_size())
    check_pass(wanted, shape, model.max_model_len)
    check_relay(text, shape, model.max_model_len)
    if any(capture.position not in (-1, len(prompt) - 1) for capture in wanted.captures):
        params.skip_reading_prefix_cache = True  # a cached position does not run, so nothing could be read there


@lru_cache(maxsize=256)  # of many questions in the same words the relay is the same
def check_relay(text: str, shape: ModelShape, context: int) -> None:
    """Raises `InvalidInput` unless every second pass that may come of it can be run."""
    sites = outline(text)
    if (then := sites.then) is None:
        return
    if not (sites.captures and sites.captures[0][2]):
        raise InvalidInput("hopfix: a relay takes up what its first capture has followed")
    for length, (prompt, places) in enumerate(then.blanks, start=1):
        if len(places) != length:
            raise InvalidInput(f"hopfix: {len(places)} placeholders for {length} tokens")
        _, second = relayed(then, np.zeros((length, shape.width), np.float32))
        check_pass(replace(from_text(second), prompt=tuple(prompt), sampling=Sampling(then.max_tokens)), shape, context)
