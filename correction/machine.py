"""The memory that this process may have: the machine's, or less where a container is given less. Imports no torch."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

# Of a container's own control group, versions 2 and 1: "max", or a number near 2**63, where there is no limit.
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def machine_memory() -> int:
    """Bytes."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit in LIMITS:
        with suppress(OSError, ValueError):
            found.append(int(limit.read_text()))
    return min(found)
