"""Steps that take long are resumable, and databases that took them in one go stay as they are."""

import asyncpg
import pytest

from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.store.schema import returning
from pedro_ledger.store.schema.migrations import migrate, migration_files
from pedro_ledger.store.schema.standing import NotCurrent, require_current
from tests.cli.test_leave import RAW, ROLLED_UP, done, rows, serve_a_while, use
from tests.support.prismamade import fill


def database_of(url: str) -> Database:
    return Database(parse_database_url(url))


class Interrupted(Exception):
    """What happens in the middle."""


async def test_the_sums_of_the_history_go_on_where_they_were_interrupted(
    prisma_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await asyncpg.connect(prisma_database_url)
    await fill(connection, users=25, rows=500)
    monkeypatch.setattr(returning, "PAGE_USERS", 10)
    fetchrow = asyncpg.Connection.fetchrow
    pages = 0

    async def failing(self: Connection, query: str, *args: object, **more: object) -> object:
        nonlocal pages
        if query == returning._SQL["sum_history"]:
            pages += 1
            if pages == 2:
                raise Interrupted
        return await fetchrow(self, query, *args, **more)

    monkeypatch.setattr(asyncpg.Connection, "fetchrow", failing)
    with pytest.raises(Interrupted):
        await migrate(database_of(prisma_database_url))
    with pytest.raises(NotCurrent, match="was interrupted: run pedro-ledger migrate first"):
        await require_current(database_of(prisma_database_url))
    assert await connection.fetchval("SELECT count(DISTINCT user_id) FROM pedro_ledger.usage_by_user") == 10
    assert await migrate(database_of(prisma_database_url)) == []
    await require_current(database_of(prisma_database_url))
    assert pages == 5, "three of users, one of none, and the one that failed"
    for part, raw in RAW.items():
        assert await rows(connection, ROLLED_UP[part]) == await rows(connection, raw) != [], part
    spans = """SELECT days, sum(uses), sum(credits) FROM pedro_ledger.usage_by_user_span GROUP BY 1 ORDER BY 1"""
    raw = """SELECT days, count(*), sum("creditsUsed") FROM "UsageHistory", (VALUES (1), (7), (28)) AS size (days) GROUP BY 1 ORDER BY 1"""
    assert await rows(connection, spans) == await rows(connection, raw)
    users = """SELECT user_id, credits FROM pedro_ledger.usage_by_user WHERE operation_type = '' ORDER BY 1"""
    raw = """SELECT "userId", sum("creditsUsed") FROM "UsageHistory" GROUP BY 1 ORDER BY 1"""
    assert await rows(connection, users) == await rows(connection, raw)
    await connection.close()


async def test_a_database_that_recorded_an_earlier_text_is_up_to_date(
    database_url: str, connection: Connection
) -> None:
    rollups = migration_files()[3]
    (earlier,) = rollups.checksums - {rollups.checksum}
    await connection.execute("ALTER TABLE pedro_ledger.schema_migration DISABLE TRIGGER USER")
    changed = await connection.execute(
        "UPDATE pedro_ledger.schema_migration SET checksum = $1 WHERE name = $2", earlier, rollups.name
    )
    assert changed == "UPDATE 1"
    assert await migrate(database_of(database_url)) == []
    assert await connection.fetchval("SELECT checksum FROM pedro_ledger.schema_migration WHERE version = 4") == earlier


async def test_a_return_goes_on_where_it_was_interrupted(
    database_url: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = await serve_a_while(database_url)
    await done("leave", url=database_url)
    for user in people:
        await use(connection, user, 7, f"row-{user}")
    monkeypatch.setattr(returning, "PAGE_ACCOUNTS", 3)
    follow = returning._follow
    told: list[returning.Returned] = []

    async def failing(*arguments: object) -> returning.Returned:
        if len(told) == 1:
            told.append(returning.Returned())
            raise Interrupted
        told.append(await follow(*arguments))  # type: ignore[arg-type]
        return told[-1]

    monkeypatch.setattr(returning, "_follow", failing)
    with pytest.raises(Interrupted):
        await migrate(database_of(database_url))
    with pytest.raises(asyncpg.RestrictViolationError):  # the guards are back already
        await use(connection, people.idle, 1, "late")
    with pytest.raises(NotCurrent, match="out of use"):
        await require_current(database_of(database_url))
    await migrate(database_of(database_url))
    assert [each.adjusted for each in told] == [3, 0, 3, 1]
    assert "the books are in order" in await done("verify", url=database_url)
