"""What the database refuses, whoever asks; and what the app may go on doing."""

import asyncpg
import pytest

from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.store.journal.refusals import RefusalPurger
from pedro_ledger.store.schema.migrations import migrate
from tests.support.client import Api

REFUSED = {
    "change a balance": """UPDATE "CreditBalance" SET "creditsRemaining" = 5 WHERE "userId" = '{user}'""",
    "decrement a balance": """UPDATE "CreditBalance" SET "creditsRemaining" = "creditsRemaining" - 5""",
    "upsert a balance": """INSERT INTO "CreditBalance" ("id","userId","clerkUserId","creditsRemaining","updatedAt")
        VALUES ('x','{user}','y',5,now()) ON CONFLICT ("userId") DO UPDATE SET "creditsRemaining" = 5""",
    "merge a balance": """MERGE INTO "CreditBalance" b USING (SELECT '{user}' AS u) s ON b."userId" = s.u
        WHEN MATCHED THEN UPDATE SET "creditsRemaining" = 5""",
    "delete a balance": """DELETE FROM "CreditBalance" WHERE "userId" = '{user}'""",
    "give a balance to another": """UPDATE "CreditBalance" SET "userId" = 'other' WHERE "userId" = '{user}'""",
    "rename a balance": """UPDATE "CreditBalance" SET "id" = 'other' WHERE "userId" = '{user}'""",
    "truncate balances": """TRUNCATE "CreditBalance" CASCADE""",
    "delete a user": """DELETE FROM "User" WHERE "id" = '{user}'""",
    "rename a user": """UPDATE "User" SET "id" = 'other' WHERE "id" = '{user}'""",
    "truncate users": """TRUNCATE "User" CASCADE""",
    "add usage": """INSERT INTO "UsageHistory" ("id","userId","creditBalanceId","operationType","creditsUsed")
        SELECT 'x', "userId", "id", 'AI_TEXT_CHAT', 1 FROM "CreditBalance" WHERE "userId" = '{user}'""",
    "change usage": """UPDATE "UsageHistory" SET "creditsUsed" = 0""",
    "delete usage": """DELETE FROM "UsageHistory" """,
    "truncate usage": """TRUNCATE "UsageHistory" """,
    "change an entry": """UPDATE pedro_ledger.entry SET credits = 0""",
    "delete an entry": """DELETE FROM pedro_ledger.entry""",
    "truncate entries": """TRUNCATE pedro_ledger.entry""",
    "add an entry": """INSERT INTO pedro_ledger.entry SELECT user_id, seq + 1, id, kind, operation_type, credits, balance_after, 0,
        NULL, NULL, NULL, NULL, 'x', fingerprint, actor, price, details, hash, created_at FROM pedro_ledger.entry""",
    "change an account": """UPDATE pedro_ledger.account SET posted = 5""",
    "open an account": """INSERT INTO pedro_ledger.account (user_id, tag, balance_id, posted) VALUES ('x', 'x', 'x', 5)""",
    "delete an account": """DELETE FROM pedro_ledger.account""",
    "truncate accounts": """TRUNCATE pedro_ledger.account""",
    "add a refusal": """INSERT INTO pedro_ledger.refusal SELECT user_id, 'x', fingerprint, code, facts, created_at
        FROM pedro_ledger.refusal""",
    "change a refusal": """UPDATE pedro_ledger.refusal SET code = 'x'""",
    "delete a refusal": """DELETE FROM pedro_ledger.refusal""",
    "truncate refusals": """TRUNCATE pedro_ledger.refusal""",
    "change a key": """UPDATE pedro_ledger.api_key SET hash = sha256('other')""",
    "let a revoked key in again": """UPDATE pedro_ledger.api_key SET revoked_at = NULL""",
    "delete a key": """DELETE FROM pedro_ledger.api_key""",
    "truncate keys": """TRUNCATE pedro_ledger.api_key""",
    "add a checkpoint": """INSERT INTO pedro_ledger.checkpoint VALUES (2, 'x')""",
    "change a checkpoint": """UPDATE pedro_ledger.checkpoint SET line = 'x'""",
    "truncate checkpoints": """TRUNCATE pedro_ledger.checkpoint""",
    "note usage of the app's own": """INSERT INTO pedro_ledger.usage_while_away VALUES ('other', 'row')""",
    "change noted usage": """UPDATE pedro_ledger.usage_while_away SET usage_id = 'x'""",
    "truncate noted usage": """TRUNCATE pedro_ledger.usage_while_away""",
    "forget a migration": """DELETE FROM pedro_ledger.schema_migration""",
    "forget migrations": """TRUNCATE pedro_ledger.schema_migration""",
}


async def with_something_of_everything(api: Api, connection: Connection) -> str:
    """A user with 99 credits, entries and a refusal, beside one with a grant that ends and a key
    that was revoked.
    """
    user = await api.user(100)
    await api.deduct(user, 1)
    assert (await api.deduct(user, 5000)).status == 402
    other = await api.user(100)
    await api.grant(other, 10, expiresIn=3600)
    await connection.execute(
        "INSERT INTO pedro_ledger.api_key (id, name, hash, scopes, revoked_at) VALUES ('k', 'k', sha256('k'), '{admin}', now())"
    )
    async with connection.transaction():
        await connection.execute("SELECT set_config('pedro_ledger.writer', 'on', true)")
        await connection.execute("INSERT INTO pedro_ledger.checkpoint VALUES (1, 'line')")
        await connection.execute("INSERT INTO pedro_ledger.usage_while_away VALUES ('user', 'row')")
    return user


@pytest.mark.parametrize("statement", REFUSED.values(), ids=REFUSED.keys())
async def test_direct_sql_is_refused_with_what_to_do_instead(api: Api, connection: Connection, statement: str) -> None:
    user = await with_something_of_everything(api, connection)
    with pytest.raises(asyncpg.RestrictViolationError, match="pedro_ledger: "):
        await connection.execute(statement.format(user=user))
    assert await api.balance(user) == 99
    assert (await api.deduct(user, 1)).json["creditsRemaining"] == 98


async def test_even_the_daemons_permit_changes_no_history_and_breaks_no_bound(api: Api, connection: Connection) -> None:
    user = await with_something_of_everything(api, connection)
    for statement, error in (
        ("UPDATE pedro_ledger.entry SET credits = 0", asyncpg.RestrictViolationError),
        ('DELETE FROM "UsageHistory"', asyncpg.RestrictViolationError),
        ("DELETE FROM pedro_ledger.account", asyncpg.RestrictViolationError),
        (f"DELETE FROM \"User\" WHERE id = '{user}'", asyncpg.RestrictViolationError),
        ("UPDATE pedro_ledger.refusal SET code = 'x'", asyncpg.RestrictViolationError),
        ("DELETE FROM pedro_ledger.refusal", asyncpg.RestrictViolationError),
        ("UPDATE pedro_ledger.account SET posted = -1", asyncpg.CheckViolationError),
        ("UPDATE pedro_ledger.account SET held = posted + 1", asyncpg.CheckViolationError),
    ):
        with pytest.raises(error):
            async with connection.transaction():
                await connection.execute("SELECT set_config('pedro_ledger.writer', 'on', true)")
                await connection.execute(statement)


async def test_the_permit_ends_with_its_transaction(api: Api, connection: Connection) -> None:
    await api.user(100)
    async with connection.transaction():
        await connection.execute("SELECT set_config('pedro_ledger.writer', 'on', true)")
    with pytest.raises(asyncpg.RestrictViolationError):
        await connection.execute('UPDATE "CreditBalance" SET "creditsRemaining" = 5')


async def test_what_the_app_does_itself_stays_allowed(api: Api, connection: Connection) -> None:
    user = await api.user(100)
    for statement in (
        f"""UPDATE "User" SET "email" = 'new@example.com', "isActive" = false WHERE "id" = '{user}'""",
        f"""UPDATE "CreditBalance" SET "lastSyncedAt" = now(), "creditsRemaining" = 100 WHERE "userId" = '{user}'""",
        """INSERT INTO "User" ("id", "clerkId", "updatedAt") VALUES ('fresh', 'fresh', now())""",
        """INSERT INTO "CreditBalance" ("id", "userId", "clerkUserId", "updatedAt") VALUES ('fresh', 'fresh', 'fresh', now())""",
        """INSERT INTO "StorageObject" ("id","userId","clerkUserId","url","pathname","name","size","updatedAt")
            VALUES ('s','fresh','fresh','u','p','n',1,now())""",
        """DELETE FROM "User" WHERE "id" = 'fresh'""",
    ):
        await connection.execute(statement)
    assert await connection.fetchval('SELECT count(*) FROM "CreditBalance"') == 1


async def test_copy_is_refused_as_insert_is(api: Api, connection: Connection) -> None:
    user = await api.user(100)
    balance = await connection.fetchval('SELECT "id" FROM "CreditBalance" WHERE "userId" = $1', user)
    with pytest.raises(asyncpg.RestrictViolationError, match="usage is recorded by the daemon"):
        await connection.copy_records_to_table(
            "UsageHistory",
            records=[("x", user, balance, "AI_TEXT_CHAT", 1)],
            columns=["id", "userId", "creditBalanceId", "operationType", "creditsUsed"],
        )


GUARDS = {
    "api_key_is_not_truncated": "truncate keys",
    "api_key_keeps_its_name": "change a key",
    "api_key_stays": "delete a key",
    "refusal_comes_from_the_daemon": "add a refusal",
    "refusal_is_immutable": "change a refusal",
    "refusal_is_kept_for_a_day": "delete a refusal",
    "refusal_is_not_truncated": "truncate refusals",
    "schema_migration_is_append_only": "forget a migration",
    "schema_migration_is_not_truncated": "forget migrations",
    "account_is_not_truncated": "truncate accounts",
    "account_is_written_by_the_daemon": "open an account",
    "account_with_open_items_needs_its_version": "spend beneath lots that one does not know",
    "account_stays": "delete an account",
    "checkpoint_comes_from_the_daemon": "add a checkpoint",
    "checkpoint_is_append_only": "change a checkpoint",
    "checkpoint_is_not_truncated": "truncate checkpoints",
    "credit_balance_is_not_truncated": "truncate balances",
    "credit_balance_keeps_its_keys": "rename a balance",
    "credit_balance_stays": "delete a balance",
    "credits_change_through_the_daemon": "change a balance",
    "entry_comes_from_the_daemon": "add an entry",
    "entry_is_append_only": "delete an entry",
    "entry_is_not_truncated": "truncate entries",
    "usage_history_comes_from_the_daemon": "add usage",
    "usage_history_is_append_only": "delete usage",
    "usage_history_is_not_truncated": "truncate usage",
    "user_is_not_truncated": "truncate users",
    "user_keeps_its_key": "rename a user",
    "user_stays": "delete a user",
    "usage_while_away_comes_from_migrate": "note usage of the app's own",
    "usage_while_away_is_append_only": "change noted usage",
    "usage_while_away_is_not_truncated": "truncate noted usage",
}
"""Each trigger, and a statement that it alone refuses with its message."""
OF_OLD_VERSIONS = {
    "spend beneath lots that one does not know": """SELECT set_config('pedro_ledger.writer', 'on', true);
        UPDATE pedro_ledger.account SET posted = posted - 1 WHERE open_items <> '{{}}'"""
}
"""What a daemon of the version before would do, with the daemon's permit."""


async def test_each_guard_is_what_refuses(api: Api, connection: Connection) -> None:
    """Without the guard, the statement is not refused any more, or by another guard in other
    words.
    """
    user = await with_something_of_everything(api, connection)
    triggers = await connection.fetch(
        "SELECT tgname, tgrelid::regclass::text AS on FROM pg_trigger "
        "WHERE NOT tgisinternal AND tgname NOT LIKE ALL ('{%_is_reported,%_sets_the_plan,%_moves_the_revision}')"  # these refuse nothing
    )
    assert {row["tgname"] for row in triggers} == GUARDS.keys(), "a guard without a test, or a test without its guard"
    for row in triggers:
        statement = (REFUSED | OF_OLD_VERSIONS)[GUARDS[row["tgname"]]].format(user=user)
        guarded = await outcome(connection, statement)
        unguarded = await outcome(connection, f"DROP TRIGGER {row['tgname']} ON {row['on']}", statement)
        assert "pedro_ledger: " in guarded != unguarded, row["tgname"]


async def outcome(connection: Connection, *statements: str) -> str:
    """What comes of `statements`, which are then undone."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        for statement in statements:
            await connection.execute(statement)
    except asyncpg.PostgresError as error:
        return str(error)
    else:
        return "done"
    finally:
        await transaction.rollback()


@pytest.mark.parametrize(
    "statement",
    [
        """DELETE FROM "User" WHERE "id" = 'old'""",
        """DELETE FROM "CreditBalance" WHERE "userId" = 'old'""",
        """UPDATE "User" SET "id" = 'other' WHERE "id" = 'old'""",
        """UPDATE "CreditBalance" SET "id" = 'other' WHERE "userId" = 'old'""",
    ],
)
async def test_old_history_keeps_a_user_who_was_not_adopted_yet(prisma_database_url: str, statement: str) -> None:
    connection = await asyncpg.connect(prisma_database_url)
    await connection.execute(
        """INSERT INTO "User" ("id", "clerkId", "updatedAt") VALUES ('old', 'old', now());
        INSERT INTO "CreditBalance" ("id", "userId", "clerkUserId", "updatedAt") VALUES ('old', 'old', 'old', now());
        INSERT INTO "UsageHistory" ("id", "userId", "creditBalanceId", "operationType", "creditsUsed")
        VALUES ('old', 'old', 'old', 'AI_TEXT_CHAT', 1)"""
    )
    await migrate(Database(parse_database_url(prisma_database_url)))
    with pytest.raises(asyncpg.RestrictViolationError):
        await connection.execute(statement)
    await connection.close()


async def test_another_trigger_cannot_slip_a_balance_past_the_guard(api: Api, connection: Connection) -> None:
    user = await api.user(100)
    await connection.execute(
        """CREATE FUNCTION slip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW."creditsRemaining" := 777; RETURN NEW; END $$;
        CREATE TRIGGER slip BEFORE UPDATE ON "CreditBalance" FOR EACH ROW EXECUTE FUNCTION slip()"""
    )
    with pytest.raises(asyncpg.RestrictViolationError, match="pedro_ledger: "):
        await connection.execute('UPDATE "CreditBalance" SET "lastSyncedAt" = now()')
    assert await api.balance(user) == 100


async def test_a_trigger_that_swallows_history_stops_the_commit(api: Api, connection: Connection) -> None:
    user = await api.user(100)
    await connection.execute(
        """CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
        CREATE TRIGGER swallow BEFORE INSERT ON "UsageHistory" FOR EACH ROW EXECUTE FUNCTION swallow()"""
    )
    reply = await api.deduct(user, 1)
    assert (reply.status, reply.code) == (503, "schema_changed"), "it is nothing that the caller can change"
    assert await api.balance(user) == 100


async def test_old_refusals_are_forgotten_by_the_daemon_alone(
    api: Api, connection: Connection, database: Database
) -> None:
    await with_something_of_everything(api, connection)
    await connection.execute(
        "ALTER TABLE pedro_ledger.refusal DISABLE TRIGGER USER; "
        "UPDATE pedro_ledger.refusal SET created_at = now() - interval '31 days'; "
        "ALTER TABLE pedro_ledger.refusal ENABLE TRIGGER USER"
    )
    with pytest.raises(asyncpg.RestrictViolationError, match="by the daemon alone"):
        await connection.execute("DELETE FROM pedro_ledger.refusal")
    assert await RefusalPurger(database, kept_days=32).purge() == 0
    assert await RefusalPurger(database, kept_days=30).purge() == 1
