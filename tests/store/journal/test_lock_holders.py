"""Who holds rows is logged, once a minute, without the values of the holder's query."""

import asyncio

import pytest
from structlog.testing import capture_logs

from pedro_ledger.postgres.database import Database
from pedro_ledger.store.journal.commit import BatchWriter
from pedro_ledger.store.journal.lock_holders import LOGGED_EVERY_S, LockHolderLog, without_literals
from tests.store.journal.test_commit import account, deduct, unit


async def test_the_holder_is_named(database: Database) -> None:
    a = await account(database, "a")
    writer = BatchWriter(database, commit_timeout_s=30)
    holder = await database.connect()
    await holder.execute("SET application_name = 'the app'")
    with capture_logs() as logs:
        async with holder.transaction():
            await holder.execute(f"""SELECT 'secret' FROM "CreditBalance" WHERE "userId" = '{a.user_id}' FOR UPDATE""")
            await writer.commit([unit(a, deduct("1"))])
            while not (told := [line for line in logs if line["event"] == "rows_locked"]):
                await asyncio.sleep(0.01)
            await writer.commit([unit(a, deduct("1"))])
            assert (told[0]["users"], told[0]["user_id"], told[0]["log_level"]) == (1, a.user_id, "warning")
            (named,) = told[0]["holders"]
            assert named["pid"] == holder.get_server_pid()
            assert (named["application_name"], named["state"]) == ("the app", "idle in transaction")
            assert named["transaction_s"] >= 0
            assert named["query"] == 'SELECT ? FROM "CreditBalance" WHERE "userId" = ? FOR UPDATE'
    await holder.close()
    await writer.close()


async def test_it_is_told_once_a_minute(database: Database) -> None:
    times = [1000.0, 1000.0 + LOGGED_EVERY_S - 1, 1000.0 + LOGGED_EVERY_S]
    holders = LockHolderLog(database, lambda: times.pop(0))
    with capture_logs() as logs:
        while times:
            holders.note({"nobody", "else"})
            assert holders._task is not None
            await holders._task
    assert [(line["event"], line["users"], line["user_id"], line["holders"]) for line in logs] == [
        ("rows_locked", 2, "else", [])
    ] * 2


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("UPDATE t SET a = 'x', b = 12.5 WHERE c1 = $1", "UPDATE t SET a = ?, b = ? WHERE c1 = $1"),
        ("SELECT 'it''s' || $tag$a 'b' $tag$ || $$c$$", "SELECT ? || ? || ?"),
        ("SELECT 'cut off in the middl", "SELECT ?"),
        ("SELECT " + "x" * 500, "SELECT " + "x" * 193),
    ],
)
def test_a_query_is_told_without_its_values(query: str, told: str) -> None:
    assert without_literals(query) == told
