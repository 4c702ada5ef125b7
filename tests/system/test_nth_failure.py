"""The n-th call to the database fails, for every n, in every way: each time every promise holds,
and the caller's retry gets through.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import asyncpg
import pytest

from pedro_ledger.cli.verify import audit
from pedro_ledger.daemon.app import Daemon
from pedro_ledger.daemon.preparation import NotPrepared
from pedro_ledger.ledger.errors import Unavailable
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.failures import CONNECTION_FAILURES
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.store.journal.commit import BatchWriter
from pedro_ledger.store.schema.migrations import MigrationError, migrate
from pedro_ledger.store.schema.standing import NotCurrent
from tests.conftest import settings_for
from tests.support.client import Api, Reply
from tests.support.databases import TestServer
from tests.support.tripwire import Failing, Interrupted, Tripwire

ATTEMPTS_MAX = 20
QUIET = {"prices_refresh_s": 3600.0, "operation_timeout_s": 5.0}
_users = count(1)


async def insist(api: Api, path: str, body: Any, key: str | None = None) -> Reply:
    """Ask as a careful caller does: again with the same key while the answer is 503."""
    for _ in range(ATTEMPTS_MAX):
        reply = await api.post(path, body, key=key)
        if reply.status != 503:
            return reply
        assert reply.headers["Retry-After"]
    raise AssertionError(f"{path}: still {reply.body!r} after {ATTEMPTS_MAX} attempts")


async def live_a_little(api: Api, name: str) -> None:
    """One user's life, with every kind of operation, and what must be true after it."""
    made = await insist(api, "/v1/users", {"clerkId": name})
    assert made.status in (200, 201), made.body
    user = f"/v1/users/{made.json['id']}"
    spent = await insist(api, f"{user}/deduct", {"operationType": "AI_TEXT_CHAT", "credits": 30}, "spend")
    again = await insist(api, f"{user}/deduct", {"operationType": "AI_TEXT_CHAT", "credits": 30}, "spend")
    assert (spent.status, again.status, again.json) == (201, 201, spent.json)
    back = await insist(api, f"{user}/refund", {"entryId": spent.json["entryId"], "credits": 10}, "back")
    assert (back.status, back.json["creditsRemaining"]) == (201, 80)
    assert (await insist(api, f"{user}/grants", {"credits": 5, "source": "topup"}, "more")).status == 201
    short = await insist(api, f"{user}/deduct", {"operationType": "AI_TEXT_CHAT", "credits": 86}, "too much")
    assert (short.status, short.code) == (402, "insufficient_credits")
    many = [
        {
            "type": "deduct",
            "user": f"clerk:{name}",
            "idempotencyKey": "m1",
            "operationType": "SHORTS_MEDIA",
            "credits": 1,
        },
        {"type": "deduct", "user": "nobody", "idempotencyKey": "m2", "operationType": "SHORTS_MEDIA", "credits": 1},
        {"type": "refund", "user": f"clerk:{name}", "idempotencyKey": "m3", "entryId": spent.json["entryId"]},
    ]
    for _ in range(ATTEMPTS_MAX):
        results = (await insist(api, "/v1/operations", {"operations": many})).json["results"]
        if all(result["status"] != 503 for result in results):
            break
    assert [result["status"] for result in results] == [201, 404, 201]
    entries = await statement(api, user)
    assert [entry["type"] for entry in entries] == ["grant", "deduct", "refund", "grant", "deduct", "refund"][
        -len(entries) :
    ]
    assert [(entry["credits"], entry["balanceAfter"]) for entry in entries][-5:] == [
        (-30, 70), (10, 80), (5, 85), (-1, 84), (20, 104),
    ]  # fmt: skip


async def statement(api: Api, user: str) -> list[dict[str, Any]]:
    for _ in range(ATTEMPTS_MAX):
        reply = await api.get(f"{user}/statement?order=asc")
        if reply.status == 200:
            return list(reply.json["items"])
    raise AssertionError(reply.body)


@asynccontextmanager
async def daemon_on(url: str) -> AsyncIterator[Api]:
    async with Daemon(settings_for(url, **QUIET)).started() as running, Api.open(running) as api:
        yield api


async def assert_the_books_agree(url: str) -> None:
    reports = await audit(Database(parse_database_url(url)), quiet=True)
    assert [problem for report in reports for problem in report.problems] == []


@pytest.mark.parametrize("failing", Failing, ids=lambda failing: failing.name.lower())
async def test_every_call_of_the_requests(failing: Failing, database_url: str) -> None:
    with Tripwire().laid() as wire:
        async with daemon_on(database_url) as api:
            await live_a_little(api, f"warm_{next(_users)}")
            wire.set(0)
            await live_a_little(api, f"counted_{next(_users)}")
            calls = wire.calls
            assert calls > 10
            tripped = set()
            for number in range(1, calls + 1):
                wire.set(number, failing)
                await live_a_little(api, f"user_{next(_users)}")
                tripped.add(wire.tripped)
            assert {"bind_execute"} <= tripped
    await assert_the_books_agree(database_url)


@pytest.mark.thorough
@pytest.mark.parametrize("failing", Failing, ids=lambda failing: failing.name.lower())
async def test_every_call_of_a_start(failing: Failing, server: TestServer) -> None:
    """Migrations and adoption of a database that the app made: a start that fails is started
    again.
    """
    number = 0
    with Tripwire().laid() as wire:
        while True:
            number += 1
            name = await server.clone("prisma_template")
            url = server.url(name)
            await server.execute(
                'INSERT INTO "User" ("id", "clerkId", "updatedAt") SELECT \'u\' || n, \'c\' || n, now() FROM generate_series(1, 3) AS n',
                'INSERT INTO "CreditBalance" ("id", "userId", "clerkUserId", "creditsRemaining", "updatedAt") '
                "SELECT 'b' || n, 'u' || n, 'c' || n, 100 + n, now() FROM generate_series(1, 2) AS n",
                database=name,
            )
            wire.set(number, failing)
            for _ in range(3):
                try:
                    await migrate(Database(parse_database_url(url)))
                    async with daemon_on(url) as api:
                        calls = wire.calls
                        wire.set(0)
                        assert (await api.get("/v1/users/u2/balance")).json["creditsRemaining"] == 102
                        assert (await api.deduct("u3", 1)).status in (201, 402)
                    break
                except (
                    MigrationError,
                    NotCurrent,
                    NotPrepared,
                    Unavailable,
                    asyncpg.PostgresError,
                    *CONNECTION_FAILURES,
                ):
                    continue
            else:
                raise AssertionError(f"call {number} ({wire.tripped}): the daemon did not start again")
            await assert_the_books_agree(url)
            await server.drop(name)
            if calls < number:
                break
    assert number > 15


@pytest.mark.parametrize("error", [ConnectionResetError("reset"), TimeoutError()], ids=["reset", "timeout"])
async def test_every_await_of_the_commit_path(
    error: Exception, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only calls: each place where commit, settle or connecting waits."""
    plan = {"method": "", "at": 0, "waits": 0}

    def interrupting(method: str) -> Any:
        original = getattr(BatchWriter, method)

        async def run(self: BatchWriter, units: Any) -> Any:
            if plan["method"] != method or plan["at"] == 0:
                return await original(self, units)
            if method == "commit":
                await self.close()  # so that it has to connect, too
            waiting = Interrupted(original(self, units), int(plan["at"]), error)
            plan["at"] = 0
            try:
                return await waiting
            finally:
                plan["waits"] = waiting.waits

        return run

    for method in ("commit", "settle"):
        monkeypatch.setattr(BatchWriter, method, interrupting(method))
    async with daemon_on(database_url) as api:
        with Tripwire().laid() as wire:
            for method, cut in (("commit", 0), ("settle", 1)):
                for at in count(1):
                    user = await api.user()
                    await api.deduct(user, 1)  # so that a connection stands
                    plan.update(method=method, at=at, waits=0)
                    wire.set(cut, Failing.CUT_AFTER)
                    reply = await insist(
                        api, f"/v1/users/{user}/deduct", {"operationType": "SHORTS_MEDIA", "credits": 7}, "k"
                    )
                    assert (reply.status, reply.json["creditsRemaining"]) == (201, 92)
                    wire.set(0)
                    if int(plan["waits"]) < at:
                        break
                    plan["at"] = 0
                assert at > 3, f"{method} waits {at} times at most"
    await assert_the_books_agree(database_url)
