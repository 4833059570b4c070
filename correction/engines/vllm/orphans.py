"""vLLM's processes end with the hopfix that started them, even where that was killed and could say no more.

A vLLM general plugin, loaded in each of its processes. Without it an engine whose hopfix is gone (`kill -9`, out of
memory) waits for ever and keeps its memory. It leaves alone every vLLM that hopfix did not start.
"""

from __future__ import annotations

import os
import signal
import time
from threading import Thread

STARTER = "HOPFIX_VLLM_STARTER"  # the process that started vLLM: set in the environment of those below it
LOOK_SECONDS = 1.0


def register() -> None:
    """The entry point."""
    if os.environ.get(STARTER) not in (None, str(os.getpid())):
        Thread(target=_end_with, args=(os.getppid(),), name="hopfix-orphans", daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
