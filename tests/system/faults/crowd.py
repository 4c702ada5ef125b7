"""Clients as they are in the world: many at once, single calls and batches, repeats, refunds, and
no trust in silence.

Every choice comes from a seed. Everything asked and told goes into the journal; what got no certain
answer is asked again with the same key, or now and then left in doubt, as a client that died would
leave it.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from time import monotonic_ns
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from tests.support.client import API_KEY
from tests.system.faults import PATIENCE_S
from tests.system.faults.journal import Ask, Journal, Told, told_of

CALL_TIMEOUT_S = 25
"""More than the daemon's own deadline: it must answer before."""
TRIES_MAX = 400
HEADERS = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
SILENCE = Told(0)


class Crowd:
    """`singles` callers with one operation a request, `batchers` with `lines` a request."""

    def __init__(
        self,
        journal: Journal,
        address: Callable[[], str],
        users: Sequence[str],
        *,
        seed: int,
        singles: int = 12,
        batchers: int = 2,
        lines: int = 50,
        abandon: float = 0.05,
        name: str = "c",
        weight: int = 1,
    ) -> None:
        self.journal = journal
        self.users = users
        self._address = address
        self._random = random.Random(seed)
        self._sizes = [1] * singles + [lines] * batchers
        self._abandon = abandon
        self._name = name
        self._weight = weight
        self._numbers = count(1)
        self._stopping = asyncio.Event()
        self._told = asyncio.Event()
        self._callers: list[asyncio.Task[None]] = []
        self._refundable: deque[tuple[str, str]] = deque(maxlen=2000)
        self._answered: deque[Ask] = deque(maxlen=500)
        self.statuses: dict[tuple[int, str | None], int] = {}
        """How often each status and code was answered."""
        self.latencies_s: deque[float] = deque(maxlen=1_000_000)
        """Of each request, whatever its answer."""
        self.slowest_s = 0.0
        """The longest that a caller waited for any answer."""
        self.last_acknowledged_ns = 0

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
        self._session = aiohttp.ClientSession(headers=HEADERS, connector=aiohttp.TCPConnector(limit=0), timeout=timeout)
        self._callers = [asyncio.create_task(self._call(size)) for size in self._sizes]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        if error is not None:
            for caller in self._callers:
                caller.cancel()
        ends = await asyncio.gather(*self._callers, return_exceptions=True)
        await self._session.close()
        if error is None:
            for end in ends:
                if end is not None:
                    raise end

    async def flow(self, acknowledgements: int) -> None:
        """Wait for so many more acknowledgements, times the crowd's weight."""
        acknowledgements *= self._weight
        enough = self.journal.acknowledged + acknowledgements
        try:
            async with asyncio.timeout(PATIENCE_S):
                while self.journal.acknowledged < enough:
                    self._told.clear()
                    await self._told.wait()
                    for caller in self._callers:
                        if caller.done():
                            caller.result()
        except TimeoutError:
            left = enough - self.journal.acknowledged
            raise AssertionError(
                f"{left} of {acknowledgements} acknowledgements missing; told so far: {self.statuses}"
            ) from None

    async def until_told(self, status: int, code: str, times: int = 1) -> None:
        """Wait until so many more answers have been this one."""
        enough = self.statuses.get((status, code), 0) + times
        try:
            async with asyncio.timeout(PATIENCE_S):
                while self.statuses.get((status, code), 0) < enough:
                    self._told.clear()
                    await self._told.wait()
        except TimeoutError:
            raise AssertionError(f"nobody is told {status} {code}; told so far: {self.statuses}") from None

    async def _call(self, size: int) -> None:
        while not self._stopping.is_set():
            if self._random.random() < 0.02:
                await self._read(self._random.choice(self.users))
            await self.pursue([self._choose() for _ in range(size)])

    def _choose(self) -> Ask:
        dice = self._random.random()
        if dice < 0.03 and self._answered:
            return self._random.choice(self._answered)
        if dice < 0.04 and self._answered:
            old = self._random.choice(self._answered)
            return old._replace(credits=(old.credits or 0) + 1, entry=None) if old.type != "refund" else old
        key, user = self.key(), self._random.choice(self.users)
        if dice < 0.12 and self._refundable:
            user, entry = self._refundable.popleft()
            return Ask(user, key, "refund", self._random.choice([None, 1, 2, 40]), entry)
        if dice < 0.15:
            return Ask(user, key, "refund", self._random.randint(1, 5))
        if dice < 0.25:
            return Ask(user, key, "grant", self._random.randint(1, 110))
        return Ask(user, key, "deduct", self._random.randint(1, 15))

    def key(self) -> str:
        return f"{self._name}-{next(self._numbers)}"

    async def pursue(self, asks: list[Ask]) -> list[Told]:
        """Ask until each has a certain answer, or is given up in doubt."""
        final: dict[int, Told] = {}
        left = dict(enumerate(asks))
        for attempt in range(TRIES_MAX):
            answers = await self.ask(list(left.values()))
            doubtful = {}
            for (place, ask), told in zip(list(left.items()), answers, strict=True):
                final[place] = told
                if told.status in {0, 502, 503, 504, 500}:
                    doubtful[place] = ask
                else:
                    self._remember(ask, told)
            left = doubtful
            if not left or self._random.random() < self._abandon:
                break
            await asyncio.sleep(min(0.01 * (attempt + 1), 0.1) * (0.5 + self._random.random()))
        else:
            raise AssertionError(
                f"{len(left)} operations had no certain answer after {TRIES_MAX} tries, the last: {answers[:3]}"
            )
        return [final[place] for place in range(len(asks))]

    def _remember(self, ask: Ask, told: Told) -> None:
        if told.status == 201 or told.code == "insufficient_credits":
            self._answered.append(ask)
        if told.status == 201 and ask.type == "deduct" and told.entry is not None:
            self._refundable.append((ask.user, told.entry))

    async def ask(self, asks: Sequence[Ask]) -> Sequence[Told]:
        """One request for all of `asks`, written down before and after."""
        attempt, started = self.journal.sent(asks), monotonic_ns()
        try:
            answers = await (self._single(asks[0]) if len(asks) == 1 else self._batch(asks))
        except (aiohttp.ClientError, OSError, TimeoutError):
            answers = [SILENCE] * len(asks)
        self.journal.told(attempt, answers)
        now = monotonic_ns()
        self.latencies_s.append((now - started) / 1e9)
        self.slowest_s = max(self.slowest_s, self.latencies_s[-1])
        for told in answers:
            self.statuses[told.status, told.code] = self.statuses.get((told.status, told.code), 0) + 1
            if told.status == 201:
                self.last_acknowledged_ns = now
        self._told.set()
        return answers

    async def _single(self, ask: Ask) -> list[Told]:
        call = "grants" if ask.type == "grant" else ask.type
        url = f"{self._address()}/v1/users/{ask.user}/{call}"
        async with self._session.post(
            url, data=orjson.dumps(body_of(ask)), headers={"Idempotency-Key": ask.key}
        ) as answer:
            return [told_of(answer.status, as_json(await answer.read()))]

    async def _batch(self, asks: Sequence[Ask]) -> list[Told]:
        lines = [{"type": ask.type, "user": ask.user, "idempotencyKey": ask.key, **body_of(ask)} for ask in asks]
        data = orjson.dumps({"operations": lines})
        async with self._session.post(f"{self._address()}/v1/operations", data=data) as answer:
            body = as_json(await answer.read())
            if answer.status != 200:
                return [told_of(answer.status, body)] * len(asks)
            return [told_of(result["status"], result.get("receipt") or result["error"]) for result in body["results"]]

    async def _read(self, user: str) -> None:
        sent_at = monotonic_ns()
        try:
            async with self._session.get(f"{self._address()}/v1/users/{user}/balance") as answer:
                body = as_json(await answer.read())
                if answer.status == 200:
                    self.journal.read(sent_at, user, body["seq"], body["creditsRemaining"])
        except (aiohttp.ClientError, OSError, TimeoutError):
            pass


def body_of(ask: Ask) -> dict[str, Any]:
    """The body of a single call."""
    body: dict[str, Any] = {} if ask.credits is None else {"credits": ask.credits}
    if ask.type == "grant":
        body["source"] = "topup"
    elif ask.entry is not None:
        body["entryId"] = ask.entry
    else:
        body["operationType"] = "AI_TEXT_CHAT"
    return body


def as_json(content: bytes) -> dict[str, Any]:
    """A JSON object, or nothing where something between answered in another way."""
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}
