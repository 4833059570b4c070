"""Whether torch works here, and the bundled model with it: for `hopfix doctor`, in a process of its own.

A broken installation of torch may end the process that imports it, and whoever asks is then still there to say so.
Prints one JSON object a line, as far as it gets.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any


def main() -> None:
    """torch and its GPUs; then whether the bundled model is whole, belongs to its profile, and answers by it."""
    import torch

    gpus = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
    _say(
        torch=torch.__version__,
        cuda=torch.version.cuda,
        gpus=[{"name": gpu.name, "bytes": gpu.total_memory} for gpu in gpus],
    )
    asyncio.run(_demo())


async def _demo() -> None:
    from correction.errors import HopfixError
    from correction.loading import open_corrector
    from correction.questions import Question

    try:
        corrector = await open_corrector(device="cpu", dtype="float32")
    except HopfixError as error:
        _say(trouble=str(error))
        return
    try:
        assert corrector.profile is not None
        entry = corrector.profile.replay[0]
        answer = await corrector.answer(Question.from_fields(entry.question, entry.hop1, entry.hop2))
        _say(answer=answer.answer, expected=entry.answer, fingerprint=corrector.loaded.fingerprint)
    except HopfixError as error:
        _say(trouble=str(error))
    finally:
        await corrector.engine.close()


def _say(**fields: Any) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
