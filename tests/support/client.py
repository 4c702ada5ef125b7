"""A client that speaks to a daemon as an app does, over HTTP."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, NamedTuple

import aiohttp
import orjson

from pedro_ledger.daemon.app import Running

API_KEY = "key-of-the-tests-0123456789"
_numbers = count(1)


class Reply(NamedTuple):
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem, whose shape is checked on the way."""
        assert self.headers["Content-Type"] == "application/problem+json", self.body
        problem = self.json
        assert problem["status"] == self.status
        assert {"type", "title", "status", "detail", "code"} <= problem.keys()
        return str(problem["code"])


class Api:
    def __init__(self, running: Running, session: aiohttp.ClientSession) -> None:
        self.address = running.address
        self.parts = running.parts
        self.session = session

    @classmethod
    @asynccontextmanager
    async def open(cls, running: Running) -> AsyncIterator["Api"]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            yield cls(running, session)

    @classmethod
    @asynccontextmanager
    async def at(cls, address: str) -> AsyncIterator["Api"]:
        """A client of a daemon that runs as a process of its own: it has no `parts`."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            api = cls.__new__(cls)
            api.address, api.session = address, session
            yield api

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        key: str | None = None,
        auth: str | None = f"Bearer {API_KEY}",
        headers: dict[str, str] | None = None,
    ) -> Reply:
        sent = dict(headers or {})
        if auth is not None:
            sent["Authorization"] = auth
        if key is not None:
            sent["Idempotency-Key"] = key
        content = raw if raw is not None else None if body is None else orjson.dumps(body)
        data = None if content is None else io.BytesIO(content)
        async with self.session.request(method, self.address + path, data=data, headers=sent) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, path: str, **more: Any) -> Reply:
        return await self.call("GET", path, **more)

    async def post(self, path: str, body: Any = None, **more: Any) -> Reply:
        return await self.call("POST", path, body, **more)

    async def user(self, credits: int = 100, **fields: Any) -> str:
        """The id of a new user with `credits`."""
        made = await self.post("/v1/users", {"clerkId": f"clerk_{next(_numbers)}", **fields})
        assert made.status == 201, made.body
        user = str(made.json["id"])
        if credits > 100:
            await self.grant(user, credits - 100)
        elif credits < 100:
            assert (await self.deduct(user, 100 - credits)).status == 201
        return user

    async def deduct(self, user: str, credits: int | None, *, key: str | None = None, **fields: Any) -> Reply:
        body = {"operationType": "AI_TEXT_CHAT", "credits": credits, **fields}
        if credits is None:
            del body["credits"]
        return await self.post(f"/v1/users/{user}/deduct", body, key=key or f"d-{next(_numbers)}")

    async def refund(self, user: str, *, key: str | None = None, **fields: Any) -> Reply:
        return await self.post(f"/v1/users/{user}/refund", fields, key=key or f"r-{next(_numbers)}")

    async def hold(self, user: str, credits: int, *, key: str | None = None, **fields: Any) -> Reply:
        body = {"operationType": "AI_TEXT_CHAT", "credits": credits, **fields}
        return await self.post(f"/v1/users/{user}/holds", body, key=key or f"h-{next(_numbers)}")

    async def capture(self, hold: str, credits: int, *, key: str | None = None, **fields: Any) -> Reply:
        body = {"credits": credits, **fields}
        return await self.post(f"/v1/holds/{hold}/capture", body, key=key or f"c-{next(_numbers)}")

    async def extend(self, hold: str, *, key: str | None = None, **fields: Any) -> Reply:
        return await self.post(f"/v1/holds/{hold}/extend", fields, key=key or f"e-{next(_numbers)}")

    async def void(self, hold: str, *, key: str | None = None) -> Reply:
        return await self.post(f"/v1/holds/{hold}/void", {}, key=key or f"v-{next(_numbers)}")

    async def heartbeat(self, hold: str, **fields: Any) -> Reply:
        return await self.post(f"/v1/holds/{hold}/heartbeat", fields)

    async def adjust(self, user: str, credits: int, *, key: str | None = None, **fields: Any) -> Reply:
        body = {"credits": credits, **fields}
        return await self.post(f"/v1/users/{user}/adjustments", body, key=key or f"a-{next(_numbers)}")

    async def grant(self, user: str, credits: int, *, key: str | None = None, **fields: Any) -> Reply:
        body = {"credits": credits, "source": "topup", **fields}
        return await self.post(f"/v1/users/{user}/grants", body, key=key or f"g-{next(_numbers)}")

    async def balance(self, user: str) -> int:
        return int((await self.get(f"/v1/users/{user}/balance")).json["creditsRemaining"])

    async def statement(self, user: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = (await self.get(f"/v1/users/{user}/statement?limit=200{cursor}")).json
            entries += page["items"]
            if page["nextCursor"] is None:
                return entries
            cursor = f"&cursor={page['nextCursor']}"
