"""The client: calls as coroutines, each answered or failed by its deadline."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from types import TracebackType
from typing import Any, cast
from urllib.parse import quote
from uuid import uuid4

import aiohttp

from pedro_ledger_client.coalescing import Answer, Coalescer, Line
from pedro_ledger_client.errors import Unanswered, refused
from pedro_ledger_client.event_stream import events
from pedro_ledger_client.holds import Hold
from pedro_ledger_client.models import Balance, Receipt, User
from pedro_ledger_client.retries import Backoff, Failure, transient

LINES_MAX = 500
"""Operations in one request; the ledger takes 1,000."""
_STREAMING = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=40)
"""The ledger gives a sign of life every 15 s."""
_NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ClientConnectorDNSError)
"""The server never heard of it."""


class LedgerClient:
    """Speaks to one ledger; to be used as `async with`, and shared by the whole process.

    `attempt_s` is how long one request may take, `deadline_s` how long a call may take with all
    that is sent again. Users are `User.id`, or `clerk:` and the Clerk id.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        attempt_s: float = 10.0,
        deadline_s: float = 30.0,
        requests_max: int = 4,
        coalesce: bool = True,
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"}
        self._attempt = aiohttp.ClientTimeout(total=attempt_s)
        self._deadline_s = deadline_s
        self._session: aiohttp.ClientSession | None = None
        self._lines = Coalescer(self._send, requests_max=requests_max, lines_max=LINES_MAX if coalesce else 1)

    async def __aenter__(self) -> "LedgerClient":
        self._session = aiohttp.ClientSession(timeout=self._attempt, headers=self._headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._lines.close()
        if self._session is not None:
            await self._session.close()

    async def deduct(
        self, user: str, operation_type: str, *, credits: int | None = None, key: str | None = None, **more: Any
    ) -> Receipt:
        """Take `credits`; without them the operation's price is looked up.

        `more` is `details`, `onBehalfOf` and what else the call takes. Raises `Refused` (such as
        `InsufficientCredits`) and `Unanswered`.
        """
        line = {"type": "deduct", "user": user, "operationType": operation_type, **more}
        return await self.submit(line if credits is None else {**line, "credits": credits}, key)

    async def refund(
        self, user: str, entry_id: str, *, credits: int | None = None, key: str | None = None, **more: Any
    ) -> Receipt:
        """Give back `credits` of a charge; without them all that is left of it.

        Raises `Refused` and `Unanswered`.
        """
        line = {"type": "refund", "user": user, "entryId": entry_id, **more}
        return await self.submit(line if credits is None else {**line, "credits": credits}, key)

    async def grant(self, user: str, credits: int, source: str, *, key: str | None = None, **more: Any) -> Receipt:
        """Bring credits in; `expiresIn`, `priority` and others in `more`.

        Raises `Refused` and `Unanswered`.
        """
        return await self.submit({"type": "grant", "user": user, "credits": credits, "source": source, **more}, key)

    def hold(
        self,
        user: str,
        operation_type: str,
        credits: int,
        *,
        lease: int | None = None,
        key: str | None = None,
        **more: Any,
    ) -> Hold:
        """Credits set aside for the length of an `async with` block; `lease` in seconds."""
        line = {"type": "hold", "user": user, "operationType": operation_type, "credits": credits, **more}
        return Hold(self, line if lease is None else {**line, "lease": lease}, key, lease)

    async def balance(self, user: str) -> Balance:
        """Where a user stands. Raises `Refused` and `Unanswered`."""
        return cast(Balance, await self.call("GET", f"/v1/users/{quote(user, safe=':')}/balance"))

    async def follow(self, user: str) -> AsyncGenerator[Balance, None]:
        """The balance now, and each newer one, until the iterator is closed.

        A stream that is cut goes on where it was, on whatever replica answers. Raises `Refused`,
        and `Unanswered` where no stream could be opened for `deadline_s`.
        """
        assert self._session is not None, "enter the client first"
        path, seen, backoff, loop = (
            f"/v1/users/{quote(user, safe=':')}/balance/stream",
            "",
            Backoff(),
            asyncio.get_running_loop(),
        )
        until = loop.time() + self._deadline_s
        while True:
            failure = Failure("the stream was cut", "not_applied")
            try:
                async with self._session.get(
                    self._url + path, headers={"Last-Event-ID": seen}, timeout=_STREAMING
                ) as response:
                    if response.status != 200:
                        problem = _problem(response.status, await response.read())
                        found = transient(problem, response.headers.get("Retry-After"))
                        if found is None:
                            raise refused(problem)
                        failure = found
                    else:
                        async for event, event_id, data in events(response.content):
                            until, backoff = loop.time() + self._deadline_s, Backoff()
                            if event in {"balance", "reset"}:
                                seen = event_id
                                yield cast(Balance, json.loads(data))
            except (aiohttp.ClientError, TimeoutError) as error:
                failure = Failure(f"{type(error).__name__}: {error}", "not_applied")
            pause_s = backoff.next_s(failure.retry_after_s)
            if loop.time() + pause_s >= until:
                raise Unanswered(failure.reason, "not_applied", None)
            await asyncio.sleep(pause_s)

    async def upsert_user(self, clerk_id: str, **more: Any) -> User:
        """The user with this Clerk id, made if need be. Raises `Refused` and `Unanswered`."""
        return cast(User, await self.call("POST", "/v1/users", {"clerkId": clerk_id, **more}))

    async def submit(self, line: Line, key: str | None = None) -> Receipt:
        """One operation as a line of `POST /v1/operations` without its key.

        Raises `Refused` and `Unanswered`.
        """
        key = key or uuid4().hex
        answer = await self._insist(lambda: self._lines.ask({**line, "idempotencyKey": key}), key)
        return cast(Receipt, answer["receipt"])

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Any call that may be repeated: what reads, or says what is to be.

        Raises `Refused` and `Unanswered`.
        """
        return await self._insist(lambda: self._request(method, path, body), None)

    async def _insist(self, ask: Any, key: str | None) -> Any:
        """Ask until there is an answer that stands, or the deadline is over."""
        backoff, loop = Backoff(), asyncio.get_running_loop()
        until = loop.time() + self._deadline_s
        failure = Failure("there was no time to ask", "not_applied")
        may_be_applied = False
        while True:
            try:
                async with asyncio.timeout_at(until):
                    answer = await ask()
            except TimeoutError:
                raise Unanswered(failure.reason, "unknown", key) from None
            if isinstance(answer, dict) and "error" in answer:
                found = transient(answer["error"])
                if found is None:
                    raise refused(answer["error"])
                answer = found
            if not isinstance(answer, Failure):
                return answer
            failure = answer
            may_be_applied = may_be_applied or failure.outcome == "unknown"
            pause_s = backoff.next_s(failure.retry_after_s)
            if loop.time() + pause_s >= until:
                raise Unanswered(failure.reason, "unknown" if may_be_applied else "not_applied", key)
            await asyncio.sleep(pause_s)

    async def _send(self, lines: Sequence[Line]) -> Sequence[Answer]:
        """The results of one request, or the same failure for each line."""
        answer = await self._request("POST", "/v1/operations", {"operations": lines})
        if isinstance(answer, Failure):
            return [answer] * len(lines)
        if "error" in answer:
            return [answer] * len(lines)
        return cast(Sequence[Answer], answer["results"])

    async def _request(self, method: str, path: str, body: Any) -> Any:
        """One attempt: the answer's body, `{"error": problem}`, or a `Failure`."""
        assert self._session is not None, "enter the client first"
        try:
            async with self._session.request(
                method,
                self._url + path,
                data=None if body is None else json.dumps(body, separators=(",", ":")).encode(),
                headers={"Content-Type": "application/json"},
            ) as response:
                text = await response.read()
                if response.status < 400:
                    return json.loads(text)
                problem = _problem(response.status, text)
                return transient(problem, response.headers.get("Retry-After")) or {"error": problem}
        except _NOT_SENT as error:
            return Failure(f"the ledger cannot be reached: {error}", "not_applied")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return Failure(f"{type(error).__name__}: {error}", "unknown")


def _problem(status: int, text: bytes) -> dict[str, Any]:
    """The problem in an answer; of a proxy's own page one that says so."""
    try:
        found = json.loads(text)
        if isinstance(found, dict) and "code" in found:
            return found
    except ValueError:
        pass
    return {"status": status, "code": "not_the_ledger", "detail": f"HTTP {status} that the ledger did not write"}
