"""Whether torch works here, and the bundled model with it: for `hopfix doctor`, in a process of its own.

A broken installation of torch may end the process that imports it, and whoever asks is then still there to say so.
Prints one JSON object a line, as far as it gets, among whatever the libraries print.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any


def main() -> None:
    """torch and its GPUs; then whether the bundled model is whole, belongs to its profile, and answers by it.

    On the CPU, and then on the GPU that a service would take, if there is one: torch may list one it has no code for.
    """
    import torch

    gpus = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
    _say(
        torch=torch.__version__,
        cuda=torch.version.cuda,
        gpus=[{"name": gpu.name, "bytes": gpu.total_memory} for gpu in gpus],
    )
    on_cpu = asyncio.run(_demo("cpu"))
    _say(on_cpu=on_cpu)
    if gpus and "trouble" not in on_cpu:
        _say(on_gpu=asyncio.run(_demo("cuda")))


async def _demo(device: str) -> dict[str, str]:
    """The answer with the one that is expected and the model's fingerprint, or the trouble."""
    from correction.loading import open_corrector
    from correction.models import demo_profile_folder
    from correction.questions import Question

    try:
        corrector = await open_corrector(profile=demo_profile_folder(), device=device, dtype="float32")
        try:
            assert corrector.profile is not None
            entry = corrector.profile.replay[0]
            answer = await corrector.answer(Question.from_fields(entry.question, entry.hop1, entry.hop2))
            return {"answer": answer.answer, "expected": entry.answer, "fingerprint": corrector.loaded.fingerprint}
        finally:
            await corrector.engine.close()
    except Exception as error:  # of torch too: whoever asks says it
        return {"trouble": (str(error).strip().splitlines() or [type(error).__name__])[0]}


def _say(**fields: Any) -> None:
    sys.stdout.write(f"\n{json.dumps(fields)}\n")  # on a line of its own, whatever a library has printed before
    sys.stdout.flush()


if __name__ == "__main__":
    main()
