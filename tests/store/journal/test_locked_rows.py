"""What a commit does with rows that somebody else has locked: a balance is passed over, an account
is waited for, not for long.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from pedro_ledger.ledger.account import Account
from pedro_ledger.ledger.errors import NotCommitted, Unavailable
from pedro_ledger.ledger.units import APPLIED, BUSY, Replayed
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.store.journal.commit import BatchWriter
from tests.store.journal.test_commit import account, deduct, unit

BALANCE = 'SELECT FROM public."CreditBalance" WHERE "userId" = $1'
ACCOUNT = "SELECT FROM pedro_ledger.account WHERE user_id = $1"
USER = 'SELECT FROM public."User" WHERE "id" = $1'
STRENGTHS = ["FOR UPDATE", "FOR NO KEY UPDATE", "FOR SHARE"]


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[BatchWriter]:
    writer = BatchWriter(database, commit_timeout_s=30)
    yield writer
    await writer.close()


@asynccontextmanager
async def locked(database: Database, row: str, strength: str, user: Account) -> AsyncIterator[Connection]:
    holder = await database.connect()
    try:
        async with holder.transaction():
            await holder.execute(f"{row} {strength}", user.user_id)
            yield holder
    finally:
        await holder.close()


async def enforce_the_key_to_users(connection: Connection) -> None:
    """As it is on servers before 18: each new row of UsageHistory locks its user."""
    if connection.get_server_version().major >= 18:
        await connection.execute('ALTER TABLE "UsageHistory" ALTER CONSTRAINT "UsageHistory_userId_fkey" ENFORCED')


@pytest.mark.parametrize("strength", STRENGTHS)
async def test_a_locked_balance_is_passed_over(database: Database, writer: BatchWriter, strength: str) -> None:
    a, b = await account(database, "a"), await account(database, "b")
    units = [unit(a, deduct("1")), unit(b, deduct("1"))]
    async with locked(database, BALANCE, strength, a):
        outcomes = await writer.commit(units)
        assert (outcomes[0] is BUSY, outcomes[1] is APPLIED) == (True, True)
        assert await writer.find_locked([a.user_id, b.user_id]) == {a.user_id}
    assert await writer.find_locked([a.user_id, b.user_id]) == frozenset()
    assert (await writer.commit(units[:1]))[0] is APPLIED


async def test_who_only_reads_the_key_of_a_balance_holds_up_nobody(database: Database, writer: BatchWriter) -> None:
    a = await account(database, "a")
    async with locked(database, BALANCE, "FOR KEY SHARE", a):
        assert (await writer.commit([unit(a, deduct("1"))]))[0] is APPLIED


async def test_what_needs_no_balance_is_answered_while_it_is_locked(database: Database, writer: BatchWriter) -> None:
    a, b = await account(database, "a"), await account(database, "b")
    before = unit(a, deduct("1"))
    assert (await writer.commit([before]))[0] is APPLIED
    async with locked(database, BALANCE, "FOR UPDATE", a), locked(database, BALANCE, "FOR UPDATE", b):
        replayed, refused = await writer.commit([unit(before.after, deduct("1")), unit(b, deduct("much", 1000))])
        assert isinstance(replayed, Replayed)
        assert refused is APPLIED


@pytest.mark.parametrize("strength", STRENGTHS)
async def test_a_locked_account_ends_the_batch_and_is_named(
    database: Database, writer: BatchWriter, strength: str
) -> None:
    a, b = await account(database, "a"), await account(database, "b")
    units = [unit(a, deduct("1")), unit(b, deduct("1"))]
    async with locked(database, ACCOUNT, strength, a):
        with pytest.raises(NotCommitted) as failure:
            await writer.commit(units)
        assert (failure.value.locked_users, failure.value.poisoned) == ({a.user_id}, False)
        assert (await writer.commit(units[1:]))[0] is APPLIED
        assert len(writer._idle) == 1, "the connection is kept"
    assert (await writer.commit(units[:1]))[0] is APPLIED


async def test_an_account_that_another_replica_is_writing_is_waited_for(
    database: Database, writer: BatchWriter, connection: Connection
) -> None:
    a = await account(database, "a")
    async with locked(database, ACCOUNT, "FOR UPDATE", a):
        committing = asyncio.create_task(writer.commit([unit(a, deduct("1"))]))
        while not await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            await asyncio.sleep(0)
    with suppress(NotCommitted):  # where the machine was busy for longer than a commit waits
        assert (await committing)[0] is APPLIED


async def test_a_locked_user_ends_the_batch_where_the_key_to_users_is_enforced(
    database: Database, writer: BatchWriter, connection: Connection
) -> None:
    await enforce_the_key_to_users(connection)
    a, b = await account(database, "a"), await account(database, "b")
    async with locked(database, USER, "FOR UPDATE", a):
        with pytest.raises(NotCommitted) as failure:
            await writer.commit([unit(a, deduct("1")), unit(b, deduct("1"))])
        assert failure.value.locked_users == {a.user_id}
    async with locked(database, USER, "FOR NO KEY UPDATE", a):
        assert await writer.find_locked([a.user_id]) == frozenset(), "as the app's own updates of a user do"
        assert (await writer.commit([unit(a, deduct("1"))]))[0] is APPLIED


async def test_in_a_circle_of_waits_it_is_the_daemon_who_gives_way(
    database: Database, writer: BatchWriter, connection: Connection
) -> None:
    """The app holds the last account and wants the first; the commit holds the first and wants the
    last.
    """
    accounts = sorted([await account(database, name) for name in "abc"], key=lambda each: each.user_id)
    first, _, last = accounts
    async with locked(database, ACCOUNT, "FOR UPDATE", last) as app:
        committing = asyncio.create_task(writer.commit([unit(each, deduct("1")) for each in accounts]))
        while not await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            await asyncio.sleep(0)
        await app.execute(f"{ACCOUNT} FOR UPDATE", first.user_id)
        with pytest.raises(NotCommitted) as failure:
            await committing
        assert not failure.value.poisoned
        assert {last.user_id} <= failure.value.locked_users <= {first.user_id, last.user_id}


async def test_a_circle_through_the_user_and_the_balance_ends_the_same_way(
    database: Database, writer: BatchWriter, connection: Connection
) -> None:
    """The app holds the user and wants the balance; the commit holds the balance and its foreign
    key wants the user.
    """
    await enforce_the_key_to_users(connection)
    a = await account(database, "a")
    async with locked(database, USER, "FOR UPDATE", a) as app:
        committing = asyncio.create_task(writer.commit([unit(a, deduct("1"))]))
        while not await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            await asyncio.sleep(0)
        await app.execute(f"{BALANCE} FOR UPDATE", a.user_id)
        with pytest.raises(NotCommitted) as failure:
            await committing
        assert failure.value.locked_users == {a.user_id}
    assert (await writer.commit([unit(a, deduct("1"))]))[0] is APPLIED


async def test_a_locked_table_blames_nobody(database: Database, writer: BatchWriter) -> None:
    a = await account(database, "a")
    holder = await database.connect()
    async with holder.transaction():
        await holder.execute('LOCK TABLE "CreditBalance" IN EXCLUSIVE MODE')
        with pytest.raises(NotCommitted) as failure:
            await writer.commit([unit(a, deduct("1"))])
        assert (failure.value.locked_users, failure.value.poisoned) == (frozenset(), False)
        with pytest.raises(Unavailable):
            await writer.find_locked([a.user_id])
    await holder.close()
    assert (await writer.commit([unit(a, deduct("1"))]))[0] is APPLIED


async def test_a_balance_that_is_missing_is_not_called_locked(
    database: Database, writer: BatchWriter, connection: Connection
) -> None:
    a, b = await account(database, "a"), await account(database, "b")
    await connection.execute('ALTER TABLE "CreditBalance" DISABLE TRIGGER ALL')
    await connection.execute('DELETE FROM "CreditBalance" WHERE "userId" = $1', a.user_id)
    with pytest.raises(NotCommitted) as failure:
        await writer.commit([unit(a, deduct("1")), unit(b, deduct("1"))])
    assert failure.value.poisoned


async def test_asking_a_server_that_is_away_is_unavailable() -> None:
    away = BatchWriter(Database(parse_database_url("postgresql://x@127.0.0.1:1/x")), commit_timeout_s=5)
    with pytest.raises(Unavailable):
        await away.find_locked(["u"])
