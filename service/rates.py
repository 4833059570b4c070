"""How many questions a second each client may ask."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from service.errors import RateLimited

BURST = 1.0  # seconds' worth of questions that a client may have saved up
MOST_CLIENTS = 10_000  # addresses are cheap to come by: no more of them are remembered


class Rates:
    """A bucket of tokens for each client, kept as one number: the time up to which its questions have used its rate up.

    A request is let in if one question is due, and then all its questions count: the more they are, the longer it takes
    until the next request is let in. So a list can be longer than the rate.
    """

    def __init__(self, rate_of: Callable[[str], float | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._rate_of = rate_of
        self._clock = clock
        self._used_until: dict[str, float] = {}

    def take(self, client: str) -> None:
        """Counts one question; raises `RateLimited` if none is due."""
        rate = self._rate_of(client)
        if rate is None:
            return
        saved = max(BURST, 1 / rate)  # one question at least, however slow the rate
        early = self._used_until.get(client, 0.0) + 1 / rate - saved - self._clock()
        if early > 1e-6:  # less is rounding
            raise RateLimited(
                f"{client} may ask {rate:g} questions a second",
                hint="send the request again after the time in Retry-After",
                retry_after=math.ceil(early),
            )
        self.charge(client, 1)

    def charge(self, client: str, questions: int) -> None:
        """Counts more questions of a request that was let in."""
        rate = self._rate_of(client)
        if rate is None:
            return
        now = self._clock()
        self._used_until[client] = max(self._used_until.get(client, now), now) + questions / rate
        if len(self._used_until) > MOST_CLIENTS:
            # Those whose time has passed, or passes first, lose least by being forgotten.
            self._used_until = dict(sorted(self._used_until.items(), key=lambda used: used[1])[MOST_CLIENTS // 2 :])
