"""The load generator, in a process of its own: a closed loop of clients, or arrivals that wait for nobody.

In a closed loop each client asks again when it was answered. In an open loop requests arrive at random (Poisson) at a
rate; a latency counts from the moment of arrival, so that what a slow server keeps waiting is not left out.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from eval.bench.serve.client import Client
from eval.bench.serve.http import Lost
from eval.bench.serve.kinds import KINDS, SOUND
from eval.bench.serve.traffic import LATE, LOST, TURNED_AWAY, UNEXPECTED, Asked, Verdict

EXAMPLES = 5  # of what went wrong, for whoever looks into it
MOST_CLIENTS = 1024  # of an open loop: an arrival beyond them waits, and its latency counts


@dataclass(frozen=True)
class Load:
    """`traffic`: kinds of requests and how often each. It ends after `requests` or `seconds`, what comes first.

    rate: requests a second of an open loop; None is a closed loop of `clients`. first: number of the first question.
    sources: how many of this machine's addresses the clients come from. patient: a client that was turned away waits
    as long as it is told, and what it asked then does not count as one of the `requests`.
    """

    url: str
    traffic: tuple[tuple[str, int], ...] = (("single", 1),)
    clients: int = 64
    rate: float | None = None
    requests: int | None = None
    seconds: float | None = None
    first: int = 0
    seed: int = 0
    sources: int = 1
    patient: bool = False
    timeout: float = 60.0
    model: str = "demo"


@dataclass
class Report:
    """What a load found. latencies: seconds by verdict, in the order of their ends. late: seconds from an arrival to
    the sending, the generator's own fault. asked: questions taken."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    answers: int = 0
    asked: int = 0
    received: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    late: list[float] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    @property
    def verdicts(self) -> Counter[str]:
        """Over all kinds."""
        return sum(self.counts.values(), Counter[str]())

    @property
    def faults(self) -> int:
        """Requests with an outcome that the service must not give."""
        return sum(count for name, count in self.verdicts.items() if name not in SOUND)


def run(load: Load, questions: Sequence[Asked]) -> Report:
    """Runs it to its end, in this process."""
    return asyncio.run(_Generator(load, questions).run())


class _Generator:
    def __init__(self, load: Load, questions: Sequence[Asked]) -> None:
        self.load = load
        self.report = Report()
        self._questions = questions
        self._numbers = itertools.count(load.first)
        self._dice = random.Random(load.seed)
        self._kinds, self._weights = zip(*load.traffic, strict=True)
        self._left = itertools.count() if load.requests is None else range(load.requests)
        self._made = 0
        self._ends = float("inf")

    async def run(self) -> Report:
        cpu, began = time.process_time(), time.perf_counter()
        self._ends = began + (self.load.seconds or float("inf"))
        await (self._closed() if self.load.rate is None else self._open(self.load.rate))
        self.report.seconds = time.perf_counter() - began
        self.report.cpu_seconds = time.process_time() - cpu
        self.report.asked = next(self._numbers) - self.load.first
        return self.report

    async def _closed(self) -> None:
        work = iter(self._left)

        async def ask_on(client: Client) -> None:
            for _ in work:
                if not await self._until_taken(client):
                    break
            client.close()

        await asyncio.gather(*(ask_on(self._client()) for _ in range(self.load.clients)))

    async def _until_taken(self, client: Client) -> bool:
        """False when the time is over."""
        while (now := time.perf_counter()) < self._ends:
            if await self._one(client, now) != TURNED_AWAY or not self.load.patient:
                return True
            await asyncio.sleep((client.retry_after or 1.0) * self._dice.uniform(1.0, 1.5))
        return False

    async def _open(self, rate: float) -> None:
        idle: list[Client] = []
        places = asyncio.Semaphore(MOST_CLIENTS)

        async def arrive(at: float) -> None:
            async with places:
                self.report.late.append(time.perf_counter() - at)
                client = idle.pop() if idle else self._client()
                await self._one(client, at)
                idle.append(client)

        async with asyncio.TaskGroup() as group:
            for at in self._arrivals(rate):
                if (left := at - time.perf_counter()) > 0:
                    await asyncio.sleep(left)
                group.create_task(arrive(at))
        for client in idle:
            client.close()

    def _arrivals(self, rate: float) -> Iterator[float]:
        at = time.perf_counter()
        for _ in self._left:
            at += self._dice.expovariate(rate)
            if at >= self._ends:
                return
            yield at

    async def _one(self, client: Client, since: float) -> str:
        [kind] = self._dice.choices(self._kinds, self._weights)
        try:
            verdict = await KINDS[kind](client)
        except Lost as error:
            verdict = Verdict(LOST, detail=str(error))
        except TimeoutError:
            verdict = Verdict(LATE, detail=f"nothing within {self.load.timeout:g} seconds")
        except (ValueError, LookupError, TypeError) as error:
            verdict = Verdict(UNEXPECTED, detail=f"what came cannot be read ({error!r})")
        self._note(kind, verdict, client, time.perf_counter() - since)
        return verdict.name

    def _note(self, kind: str, verdict: Verdict, client: Client, seconds: float) -> None:
        report = self.report
        report.counts[kind][verdict.name] += 1
        report.latencies[verdict.name].append(seconds)
        report.answers += verdict.answers
        report.statuses.update(client.statuses)
        report.received += client.received
        client.statuses, client.received = [], 0
        if verdict.name not in SOUND and len(report.examples) < EXAMPLES:
            report.examples.append(f"{kind}, {verdict.name}: {verdict.detail}")

    def _client(self) -> Client:
        source = f"127.0.0.{1 + self._made % self.load.sources}" if self.load.sources > 1 else None
        self._made += 1
        given = (self.load.url, self._questions, self._numbers, self._dice)
        return Client(*given, model=self.load.model, timeout=self.load.timeout, source=source)
