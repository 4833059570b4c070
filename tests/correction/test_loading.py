"""What is wrong with an engine's name or settings is said before a model is loaded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from correction.errors import InvalidInput
from correction.loading import open_corrector


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"engine": "tgi"}, "choose one of hf, hf.vllm, vllm"),
        ({"engine": "hf", "vllm_url": "http://localhost:8000"}, "runs no vLLM"),
        ({"engine": "vllm", "vllm_url": "http://localhost:8000", "vllm_args": "{}"}, "not both"),
        ({"engine": "vllm", "vllm_args": "tensor_parallel_size=2"}, "no JSON object"),
        ({"engine": "vllm", "vllm_args": "[2]"}, "no JSON object"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        asyncio.run(open_corrector("no-such-model", **settings))
