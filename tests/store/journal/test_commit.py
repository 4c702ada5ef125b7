"""Committing on a real server: what fits, what does not, and what became of a commit whose answer
was lost.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from pedro_ledger.ledger.account import Account
from pedro_ledger.ledger.decide import Facts
from pedro_ledger.ledger.errors import NotCommitted, OutcomeUnknown
from pedro_ledger.ledger.operations import Deduct, Grant, Operation
from pedro_ledger.ledger.units import APPLIED, Replayed, Stale, Unit
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.store.app.users import UserStore
from pedro_ledger.store.journal.commit import BatchWriter
from tests.support.client import Api
from tests.support.ledgers import account_of

AT_MS = 1_795_000_000_000


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[BatchWriter]:
    writer = BatchWriter(database, commit_timeout_s=5)
    yield writer
    await writer.close()


async def account(database: Database, name: str) -> Account:
    user, _ = await UserStore(database).upsert(name, None, None, signup_credits=100, actor="test")
    return await account_of(database, user)


def unit(before: Account, *operations: Operation, at_ms: int = AT_MS) -> Unit[None]:
    made: Unit[None] = Unit(before, Facts(), at_ms)
    for operation in operations:
        made.add(None, operation)
    made.seal()
    return made


def deduct(key: str, credits: int = 1, kind: str = "AI_TEXT_CHAT") -> Deduct:
    return Deduct(key, "test", kind, credits)


async def test_units_that_fit_are_applied_and_the_others_are_answered(database: Database, writer: BatchWriter) -> None:
    a, b, c, d = [await account(database, name) for name in "abcd"]
    assert await writer.commit([unit(b, deduct("1"))]) == [APPLIED]
    first = unit(c, deduct("seen"), deduct("poor", 1000))
    assert await writer.commit([first]) == [APPLIED]
    outcomes = await writer.commit(
        [unit(a, deduct("1"), deduct("2")), unit(b, deduct("2")), unit(first.after, deduct("new"), deduct("seen"), deduct("poor", 1000)),
         unit(d, deduct("poor", 1000))]
    )  # fmt: skip
    assert outcomes[0] == outcomes[3] == APPLIED
    assert isinstance(outcomes[1], Stale)
    assert (outcomes[1].account.seq, outcomes[1].account.posted) == (2, 99)
    assert isinstance(outcomes[2], Replayed)
    assert outcomes[2].account == first.after
    assert outcomes[2].answers["seen"].entry == first.decided[0][1]
    refusal = outcomes[2].answers["poor"].refusal
    assert refusal is not None
    assert refusal.facts == {"creditsRequired": 1000, "creditsAvailable": 99}


async def test_a_remembered_refusal_moves_the_revision(database: Database, writer: BatchWriter) -> None:
    before = await account(database, "a")
    assert await writer.commit([unit(before, deduct("poor", 1000))]) == [APPLIED]
    (outcome,) = await writer.commit([unit(before, deduct("poor", 5))])
    assert isinstance(outcome, Replayed), "one key is not both refused and applied, whichever replica is faster"


async def test_a_batch_with_data_that_the_database_refuses_is_not_committed(
    database: Database, writer: BatchWriter
) -> None:
    a, b = await account(database, "a"), await account(database, "b")
    with pytest.raises(NotCommitted) as failure:
        await writer.commit([unit(a, deduct("1")), unit(b, deduct("1", kind="NO_SUCH_TYPE"))])
    assert failure.value.poisoned
    assert await writer.commit([unit(a, deduct("1"))]) == [APPLIED]


@pytest.mark.parametrize("text", ["a\x01b", "\x02"])
async def test_what_separates_texts_cannot_come_with_one(database: Database, writer: BatchWriter, text: str) -> None:
    one, other = await account(database, "one"), await account(database, "other")
    with pytest.raises(NotCommitted) as caught:
        await writer.commit([unit(one, deduct(text)), unit(other, deduct("fine"))])
    assert caught.value.poisoned
    assert await writer.commit([unit(other, deduct("fine"))]) == [APPLIED]


async def test_a_lost_answer_is_settled_as_applied_and_a_lost_question_as_stale(
    database: Database, writer: BatchWriter
) -> None:
    a, b = await account(database, "a"), await account(database, "b")
    arrived, lost = unit(a, deduct("1"), deduct("poor", 1000)), unit(b, deduct("1"))
    assert await writer.commit([arrived]) == [APPLIED]
    outcomes = await writer.settle([arrived, lost])
    assert outcomes[0] == APPLIED
    assert outcomes[1] == Stale(b)
    other = unit(a, deduct("1", 2))
    (taken,) = await writer.settle([other])
    assert isinstance(taken, Replayed)


async def test_settling_leaves_open_what_somebody_still_writes(database: Database, writer: BatchWriter) -> None:
    a, b = await account(database, "a"), await account(database, "b")
    asked = [unit(a, deduct("1")), unit(b, deduct("1"))]
    holder = await database.connect()
    async with holder.transaction():
        await holder.execute("SELECT FROM pedro_ledger.account WHERE user_id = $1 FOR UPDATE", a.user_id)
        assert await writer.settle(asked) == [None, Stale(b)]
    assert await writer.settle(asked) == [Stale(a), Stale(b)]
    await holder.close()


async def test_a_server_that_ends_the_connection_leaves_the_outcome_unknown(
    database: Database, writer: BatchWriter, connection: Connection
) -> None:
    a = await account(database, "a")
    assert await writer.commit([unit(a, deduct("0"))]) == [APPLIED]
    holder = await database.connect()
    async with holder.transaction():
        await holder.execute("SELECT FROM pedro_ledger.account WHERE user_id = $1 FOR UPDATE", a.user_id)
        committing = asyncio.create_task(writer.commit([unit(a, deduct("1"))]))
        while not (
            waiting := await connection.fetch("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        ):
            assert not committing.done()
        await connection.execute("SELECT pg_terminate_backend($1)", waiting[0]["pid"])
        with pytest.raises(OutcomeUnknown):
            await committing
    await holder.close()


async def test_a_read_only_server_certainly_commits_nothing(database: Database, connection: Connection) -> None:
    a = await account(database, "a")
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    writer = BatchWriter(database, commit_timeout_s=5)
    with pytest.raises(NotCommitted) as failure:
        await writer.commit([unit(a, deduct("1"))])
    assert not failure.value.poisoned
    await writer.close()


async def test_connections_that_are_ended_again_and_again_lose_nothing(api: Api, connection: Connection) -> None:
    """Every backend but ours is terminated, over and over, under load; what was acknowledged is
    there once.

    Again after every tenth acknowledgement, not at times: on a busy machine nothing else would be
    done between two.
    """
    users = [await api.user(100_000) for _ in range(5)]
    acknowledged = 0
    more = asyncio.Event()

    async def caller(number: int) -> None:
        nonlocal acknowledged
        for i in range(40):
            for _ in range(100):
                reply = await api.deduct(users[number % 5], 1, key=f"{number}-{i}")
                if reply.status == 201:
                    break
                assert reply.status == 503, reply.body
            acknowledged += reply.status == 201
            more.set()

    async def terminate() -> None:
        for enough in range(0, 800, 10):
            while acknowledged < enough:
                more.clear()
                await more.wait()
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    ending = asyncio.create_task(terminate())
    await asyncio.gather(*(caller(number) for number in range(20)))
    assert acknowledged == 800
    await ending
    assert await connection.fetchval("SELECT count(*) FROM pedro_ledger.entry WHERE kind = 'deduct'") == 800
    assert [await api.balance(user) for user in users] == [100_000 - 160] * 5


async def test_no_hundred_thousand_users_add_a_series(api: Api) -> None:
    def series() -> int:
        return sum(1 for line in api.parts.metrics.render().splitlines() if not line.startswith(b"#"))

    user = await api.user(100)
    await api.deduct(user, 1)
    await api.deduct("nobody", 1)
    await api.get("/nothing/here")
    await api.get("/metrics")
    before = series()
    for number in range(100_000):
        api.parts.metrics.operation("deduct", "applied")
        if number % 1000 == 0:
            await api.deduct(f"stranger-{number}", 1)
            await api.get(f"/nothing/{number}")
    assert series() == before


async def test_grants_and_deducts_of_other_replicas_are_seen(database: Database, writer: BatchWriter) -> None:
    a = await account(database, "a")
    ahead = unit(a, Grant("g", "x", 50, "promo"))
    await writer.commit([ahead])
    (outcome,) = await writer.commit([unit(a, deduct("1"))])
    assert outcome == Stale(ahead.after)
