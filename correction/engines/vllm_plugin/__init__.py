"""Reading and overwriting hidden states inside vLLM, request by request, in its continuous batch.

A vLLM general plugin (entry point `vllm.general_plugins`). vLLM loads it in each of its processes, where it has its
parts: `frontend` refuses what cannot be run, `keys` keeps patched and clean prompts apart in the prefix cache,
`scheduler` hands out what was read, `worker` runs the sites with the model. `additional_config={"hopfix": {}}` switches
it on (vLLM hashes that into its compile cache); without it, nothing of this runs.
"""

from __future__ import annotations

from functools import cache
from typing import Any

KEY = "hopfix"  # in `additional_config`, `extra_args` and `kv_transfer_params`


@cache
def register() -> None:
    """The entry point: puts the parts in place. vLLM may call it several times in one process."""
    from correction.engines.vllm_plugin import frontend, keys, scheduler, worker

    for part in (frontend, keys, scheduler, worker):
        part.install()


def switched_on(vllm_config: Any) -> bool:
    """Whether this vLLM was started with the plugin."""
    config = vllm_config.additional_config
    return isinstance(config, dict) and KEY in config


def text_of(sampling_params: Any) -> str | None:
    """What a request asks of the plugin, None if nothing."""
    extra = getattr(sampling_params, "extra_args", None)
    return extra.get(KEY) if extra else None
