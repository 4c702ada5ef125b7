"""The daemon as the replay calls it: one call, repeated under the same idempotency key until it has
an answer.
"""

import asyncio
import os
import random
from array import array
from collections.abc import Mapping
from time import perf_counter
from typing import Any, NamedTuple

import aiohttp
import orjson
from yarl import URL

from pedro_ledger.tools.replay.errors import DaemonLost, ReplayStopped

TRY_TIMEOUT_S = 30.0
"""Longer than the daemon takes for anything; past it the connection counts as lost."""
PATIENCE_S = 60.0
"""How long a call is repeated: a daemon that is restarted is back by then."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 2.0
NOT_ANSWERED = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which the same request is to be sent again under the same key."""


class Answer(NamedTuple):
    """What the ledger said."""

    status: int
    body: Any
    replayed: bool
    """Whether it was said before, under the same idempotency key."""


class NotAnswered(Exception):
    """A try without an answer from the ledger; the operation may have been applied."""

    def __init__(self, reason: str, *, is_reached: bool, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.is_reached = is_reached
        self.retry_after_s = retry_after_s


class DaemonClient:
    """Calls over one session.

    Counts retries, and keeps how long each operation took, its retries included, in seconds.
    """

    def __init__(self, session: aiohttp.ClientSession, base: URL, key: str, *, patience_s: float) -> None:
        self._session = session
        self._base = str(base).rstrip("/")
        self._patience_s = patience_s
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "User-Agent": "pedro-ledger-replay",
            "Accept-Encoding": "identity",
        }
        self.retries = 0
        self.latencies_s = array("d")

    def url(self, path: str) -> URL:
        """The address of `path`, whose parts are quoted already; worth keeping, for it is dear to
        make.
        """
        return URL(self._base + path, encoded=True)

    async def probe(self) -> None:
        """Raises `ReplayStopped` where no daemon answers, or not to this key."""
        try:
            answer = await self._try("GET", self.url("/v1/users?limit=1"), None, self._headers)
        except NotAnswered as lost:
            if lost.is_reached:
                return  # it is busy, or waits for its database: calls are repeated
            raise ReplayStopped(
                f"{self._base} cannot be reached ({lost}): start pedro-ledger serve, or name it with --url"
            ) from None
        if answer.status != 200 or not isinstance(answer.body, dict) or "items" not in answer.body:
            raise self.unexpected(answer)

    async def operate(self, url: URL, key: str, body: bytes) -> Answer:
        """POST an operation: 201 with a receipt, or 402. Raises `ReplayStopped` for any other
        answer, and for none.
        """
        started = perf_counter()
        answer = await self._call("POST", url, body, {**self._headers, "Idempotency-Key": key})
        self.latencies_s.append(perf_counter() - started)
        if answer.status not in {201, 402} or not isinstance(answer.body, dict):
            raise self.unexpected(answer)
        return answer

    async def post(self, url: URL, body: bytes) -> Any:
        """The body that answers a POST that may be repeated without a key."""
        return self._ok(await self._call("POST", url, body, self._headers))

    async def get(self, url: URL) -> Any:
        """The body that answers a GET."""
        return self._ok(await self._call("GET", url, None, self._headers))

    def _ok(self, answer: Answer) -> Any:
        if answer.status not in {200, 201}:
            raise self.unexpected(answer)
        return answer.body

    async def _call(self, method: str, url: URL, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        give_up_at, wait_s = perf_counter() + self._patience_s, FIRST_WAIT_S
        while True:
            try:
                return await self._try(method, url, body, headers)
            except NotAnswered as lost:
                pause_s = lost.retry_after_s + wait_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries
                if perf_counter() + pause_s > give_up_at:
                    raise DaemonLost(
                        f"{self._base} did not answer for {self._patience_s:g} s ({lost}): see to the daemon"
                    ) from None
            self.retries += 1
            await asyncio.sleep(pause_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    async def _try(self, method: str, url: URL, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        try:
            async with self._session.request(method, url, data=body, headers=headers, allow_redirects=False) as reply:
                raw = await reply.read()
        except (aiohttp.ClientError, OSError) as lost:  # a time-out is an OSError
            raise NotAnswered(_reason(lost), is_reached=False) from None
        status = reply.status
        if status in NOT_ANSWERED:
            wait_s = _seconds(reply.headers.get("Retry-After", "0"))
            raise NotAnswered(f"status {status}", is_reached=True, retry_after_s=wait_s)
        try:
            content = orjson.loads(raw)
        except ValueError:
            content = None
        return Answer(status, content, reply.headers.get("Idempotency-Replayed") == "true")

    def unexpected(self, answer: Answer) -> ReplayStopped:
        """The line for an answer with which the replay cannot go on."""
        problem = answer.body if isinstance(answer.body, dict) else {}
        code, detail = problem.get("code"), str(problem.get("detail", "")).rstrip(".")
        match answer.status, code:
            case 401, _:
                return ReplayStopped(f"{self._base} refuses the key: give the one that serve printed, with --key")
            case 403, str():
                return ReplayStopped(f"{self._base} refuses the key: {detail}")
            case 422, "no_price":
                return ReplayStopped(f"{detail.partition(':')[0]}: leave --feature-costs out, or set feature costs")
            case 422, "idempotency_key_reused":
                return ReplayStopped(
                    "this run id was used for another file or with other options: give another --run-id"
                )
            case _, str():
                return ReplayStopped(f"{self._base} answered {answer.status} {code}: {detail}")
        return ReplayStopped(
            f"{self._base} answered {answer.status}, not as pedro-ledger does: name a daemon with --url"
        )


def _reason(lost: Exception) -> str:
    """What broke a connection, in few words."""
    if isinstance(lost, TimeoutError):
        return "no answer in time"
    if isinstance(lost, aiohttp.ClientConnectorError) and lost.os_error.errno:
        return os.strerror(lost.os_error.errno)  # the loop's own text repeats the address
    return str(lost) or type(lost).__name__


def _seconds(retry_after: str) -> float:
    """Of the two forms of Retry-After only the number of seconds is understood."""
    return min(float(retry_after), 10.0) if retry_after.isascii() and retry_after.isdigit() else 0.0
