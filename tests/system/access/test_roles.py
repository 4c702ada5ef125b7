"""An owner that migrates and an app role that serves: the second cannot change or remove entries by
any statement.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest

from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.queries import sql_folder
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.store.reports.rollups import RollupWorker
from pedro_ledger.store.schema import migrations
from pedro_ledger.store.schema.migrations import Migration, migrate, migration_files
from pedro_ledger.store.schema.roles import RoleError, make_app_role
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.processes import command, served

ROLE = "pedro app"
"""With a blank, so that a name that is not quoted fails."""
BY_THE_OWNER = {
    "schema",
    "keys/make_key",
    "keys/revoke_key",
    "keys/end_key",
}
"""Queries of commands that the owner runs."""


class Served(NamedTuple):
    """A daemon that serves as the app role, and a connection of that role."""

    api: Api
    app: Connection
    owner: Connection
    url: str
    user: str


def as_role(url: str, role: str = ROLE) -> str:
    return url.replace("//postgres@", f"//{role.replace(' ', '%20')}@")


@pytest.fixture
async def app_role_url(database_url: str, connection: Connection) -> AsyncIterator[str]:
    await make_app_role(connection, ROLE)
    yield as_role(database_url)
    await connection.execute(f'DROP OWNED BY "{ROLE}"; DROP ROLE "{ROLE}"')


@pytest.fixture
async def app(app_role_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(app_role_url)
    yield connection
    await connection.close()


@pytest.fixture
async def served_by_role(app_role_url: str, app: Connection, connection: Connection) -> AsyncIterator[Served]:
    settings = settings_for(app_role_url, allow_owner=False)
    async with Daemon(settings).started() as running, Api.open(running) as api:
        user = await api.user(100)
        assert (await api.deduct(user, 1)).status == 201
        assert (await api.deduct(user, 5000)).status == 402
        yield Served(api, app, connection, app_role_url, user)


FORBIDDEN = {
    "change an entry": "UPDATE pedro_ledger.entry SET credits = 0",
    "change an entry's hash": "UPDATE pedro_ledger.entry SET hash = hash",
    "change an entry by a merge": """MERGE INTO pedro_ledger.entry e USING (SELECT 1) s ON true WHEN MATCHED THEN UPDATE SET credits = 0""",
    "change an entry by an upsert": """INSERT INTO pedro_ledger.entry SELECT * FROM pedro_ledger.entry
        ON CONFLICT (user_id, seq) DO UPDATE SET credits = 0""",
    "lock an entry": "SELECT * FROM pedro_ledger.entry FOR UPDATE",
    "lock all entries": "LOCK TABLE pedro_ledger.entry IN ACCESS EXCLUSIVE MODE",
    "delete an entry": "DELETE FROM pedro_ledger.entry",
    "delete entries by a merge": "MERGE INTO pedro_ledger.entry e USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
    "truncate entries": "TRUNCATE pedro_ledger.entry",
    "truncate everything": 'TRUNCATE "User" CASCADE',
    "change usage": """UPDATE "UsageHistory" SET "creditsUsed" = 0""",
    "delete usage": 'DELETE FROM "UsageHistory"',
    "truncate usage": 'TRUNCATE "UsageHistory"',
    "cascade from the user": """DELETE FROM "User" WHERE "id" = '{user}'""",
    "cascade from the user's new key": """UPDATE "User" SET "id" = 'other' WHERE "id" = '{user}'""",
    "cascade from the balance": """DELETE FROM "CreditBalance" WHERE "userId" = '{user}'""",
    "cascade from the balance's new key": """UPDATE "CreditBalance" SET "id" = 'other'""",
    "give a balance to another": """UPDATE "CreditBalance" SET "userId" = 'other'""",
    "delete an account": "DELETE FROM pedro_ledger.account",
    "give an account another user": "UPDATE pedro_ledger.account SET user_id = 'other'",
    "truncate accounts": "TRUNCATE pedro_ledger.account",
    "change a refusal": "UPDATE pedro_ledger.refusal SET code = 'x'",
    "delete a refusal that may be repeated": "DELETE FROM pedro_ledger.refusal",
    "truncate refusals": "TRUNCATE pedro_ledger.refusal",
    "make a key": "INSERT INTO pedro_ledger.api_key (id, name, hash, scopes) VALUES ('k', 'k', sha256('k'), '{{admin}}')",
    "let a key do more": "UPDATE pedro_ledger.api_key SET scopes = '{{admin}}'",
    "let a revoked key in": "UPDATE pedro_ledger.api_key SET revoked_at = NULL",
    "delete a key": "DELETE FROM pedro_ledger.api_key",
    "forget a migration": "DELETE FROM pedro_ledger.schema_migration",
    "record a migration": "INSERT INTO pedro_ledger.schema_migration VALUES (99, 'x', 'x', false)",
    "disable a trigger": "ALTER TABLE pedro_ledger.entry DISABLE TRIGGER ALL",
    "disable a trigger of the app's": 'ALTER TABLE "UsageHistory" DISABLE TRIGGER usage_history_is_append_only',
    "disable all triggers": "SET session_replication_role = replica",
    "disable all triggers for the transaction": "SELECT set_config('session_replication_role', 'replica', true)",
    "drop a trigger": "DROP TRIGGER entry_is_append_only ON pedro_ledger.entry",
    "add a trigger": """CREATE TRIGGER slip BEFORE INSERT ON pedro_ledger.entry FOR EACH ROW EXECUTE FUNCTION pedro_ledger.refuse('x')""",
    "replace a guard's function": """CREATE OR REPLACE FUNCTION pedro_ledger.refuse() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN RETURN OLD; END'""",
    "add a rule": "CREATE RULE slip AS ON INSERT TO pedro_ledger.entry DO INSTEAD NOTHING",
    "drop a column": "ALTER TABLE pedro_ledger.entry DROP COLUMN hash",
    "rename the table": "ALTER TABLE pedro_ledger.entry RENAME TO gone",
    "drop the table": "DROP TABLE pedro_ledger.entry",
    "drop the schema": "DROP SCHEMA pedro_ledger CASCADE",
    "drop the app's table": 'DROP TABLE "UsageHistory" CASCADE',
    "cluster the table": "CLUSTER pedro_ledger.entry USING entry_pkey",
    "own the table": 'ALTER TABLE pedro_ledger.entry OWNER TO "pedro app"',
    "inherit from the table": "CREATE TABLE pedro_ledger.child () INHERITS (pedro_ledger.entry)",
    "make a table beside": "CREATE TABLE pedro_ledger.beside (a int)",
    "join the owner": 'GRANT postgres TO "pedro app"',
    "become the owner": "SET ROLE postgres",
    "become another": "SET SESSION AUTHORIZATION postgres",
    "become a superuser": 'ALTER ROLE "pedro app" SUPERUSER',
    "read a file": "COPY pedro_ledger.entry FROM '/etc/passwd'",
    "run a program": "COPY (SELECT 1) TO PROGRAM 'cat > /dev/null'",
}
"""What the app role tries, each with the daemon's own permit."""


async def test_the_app_role_can_neither_change_nor_remove_what_was_written(served_by_role: Served) -> None:
    api, app, owner, _, user = served_by_role
    tables = ('"UsageHistory"', "pedro_ledger.entry", "pedro_ledger.account", "pedro_ledger.refusal", '"CreditBalance"')
    before = [await owner.fetch(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]
    for name, statement in FORBIDDEN.items():
        transaction = app.transaction()
        await transaction.start()
        await app.execute("SELECT set_config('pedro_ledger.writer', 'on', true)")
        try:
            await app.execute(statement.format(user=user))
        except (asyncpg.InsufficientPrivilegeError, asyncpg.RestrictViolationError):
            await transaction.rollback()
        except asyncpg.PostgresError as error:
            pytest.fail(f"{name}: refused for another reason: {error}")
        else:
            pytest.fail(f"{name}: not refused")
    assert [await owner.fetch(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables] == before
    assert (await api.deduct(user, 1)).status == 201


async def test_each_of_them_would_do_something_as_the_owner(served_by_role: Served) -> None:
    """So that a statement is not refused for its spelling: the owner is stopped by nothing but a
    guard.
    """
    *_, owner, _, user = served_by_role
    for name, statement in FORBIDDEN.items():
        if name in {"read a file", "add a rule", "become another"}:
            continue  # in no transaction, of no form, and what every later statement would feel
        transaction = owner.transaction()
        await transaction.start()
        try:
            await owner.execute(statement.format(user=user))
        except asyncpg.RestrictViolationError:
            pass
        except asyncpg.PostgresError as error:
            if not re.search("already exists|duplicate key|circular", str(error)):
                pytest.fail(f"{name}: {error}")
        finally:
            await transaction.rollback()


async def test_the_daemon_does_all_its_work_as_the_app_role(served_by_role: Served, database_url: str) -> None:
    api, _, owner, url, user = served_by_role
    receipt = (await api.deduct(user, 5)).json
    assert (await api.refund(user, entryId=receipt["entryId"], credits=2)).status == 201
    assert (await api.grant(user, 10)).status == 201
    lines = [{"type": "deduct", "user": user, "idempotencyKey": "b", "operationType": "AI_TEXT_CHAT", "credits": 1}]
    assert (await api.post("/v1/operations", {"operations": lines})).json["results"][0]["status"] == 201
    await owner.execute("""INSERT INTO "User" ("id", "clerkId", "updatedAt") VALUES ('app made', 'clerk_app', now())""")
    assert (await api.grant("clerk:clerk_app", 5)).status == 201, "a user whom the app made is adopted"
    assert (await api.call("PATCH", f"/v1/users/{user}", {"name": "Bea"})).status == 200
    for path in (
        f"/v1/users/{user}",
        f"/v1/users/{user}/usage",
        f"/v1/entries/{receipt['entryId']}",
        "/v1/reports/liability",
    ):
        assert (await api.get(path)).status == 200, path
    database = Database(parse_database_url(url))
    await database.open()
    await RollupWorker(database, interval_s=1, on_step=lambda *_: None).roll_up()
    await database.close()
    status, out, err = await command("verify", DATABASE_URL=url)
    assert status == 0, out + err


def queries() -> list[Path]:
    folder = sql_folder() / "queries"
    return [
        file
        for file in sorted(folder.glob("*/*.sql"))
        if not {file.parent.name, f"{file.parent.name}/{file.stem}"} & BY_THE_OWNER
    ]


async def test_every_query_of_the_daemon_is_allowed_to_the_app_role(app: Connection) -> None:
    if app.get_server_version().major < 16:
        return  # its EXPLAIN does not take parameters
    await app.execute("SET search_path = public, pedro_ledger")
    for file in queries():
        text = file.read_text()
        if re.search(
            r"^(WITH|SELECT|INSERT|UPDATE|DELETE|MERGE)\b", text, re.MULTILINE
        ) and ";" not in text.strip().rstrip(";"):
            try:
                await app.execute(f"EXPLAIN (GENERIC_PLAN) {text}")
            except asyncpg.InsufficientPrivilegeError as error:
                pytest.fail(f"{file}: {error}")


async def test_what_the_app_role_can_do_wrongly_is_found_by_verify(served_by_role: Served) -> None:
    _, app, _, url, user = served_by_role
    for statement in (
        f"UPDATE pedro_ledger.account SET posted = posted + 100 WHERE user_id = '{user}'",
        f"UPDATE pedro_ledger.account SET seq = seq - 1 WHERE user_id = '{user}'",
        f"""UPDATE "CreditBalance" SET "creditsRemaining" = 5 WHERE "userId" = '{user}'""",
        """INSERT INTO pedro_ledger.entry SELECT user_id, seq + 1, id || 'x', 'grant', NULL, 50, balance_after + 50, 0, NULL, 'promo',
           NULL, NULL, 'forged', fingerprint, actor, NULL, NULL, hash, created_at FROM pedro_ledger.entry ORDER BY seq DESC LIMIT 1""",
    ):
        async with app.transaction():
            await app.execute("SELECT set_config('pedro_ledger.writer', 'on', true)")
            await app.execute(statement)
        status, out, _ = await command("verify", "--json", DATABASE_URL=url)
        assert status == 1, statement
        assert user in out


async def test_serve_refuses_a_role_that_could_change_the_ledger(database_url: str, app_role_url: str) -> None:
    status, out, err = await command("serve", "--port", "0", DATABASE_URL=database_url, PEDRO_ALLOW_OWNER="false")
    assert (status, out) == (2, "")
    last = err.strip().splitlines()[-1]
    assert last.startswith(
        "pedro-ledger: The role postgres is a superuser, so it could change the ledger: run `pedro-ledger migrate --app-role"
    )
    assert "PEDRO_ALLOW_OWNER=true" in last
    async with served(DATABASE_URL=app_role_url, PEDRO_ALLOW_OWNER="false") as daemon:
        assert daemon.address
    async with served(DATABASE_URL=database_url, PEDRO_ALLOW_OWNER="true") as daemon:
        assert daemon.address


@pytest.mark.parametrize(
    ("power", "told"),
    [
        ('ALTER ROLE "pedro app" CREATEROLE', "CREATEROLE"),
        ('GRANT postgres TO "pedro app"', "is a superuser|act as its owner"),
        ('GRANT pg_write_all_data TO "pedro app"', "pg_write_all_data"),
        ('GRANT pg_write_server_files TO "pedro app"', "pg_write_server_files"),
        ('GRANT DELETE ON "UsageHistory" TO PUBLIC', "has DELETE on"),
        ("GRANT UPDATE (hash) ON pedro_ledger.entry TO PUBLIC", "has UPDATE on pedro_ledger.entry"),
        ("GRANT TRIGGER ON pedro_ledger.entry TO PUBLIC", "has TRIGGER on pedro_ledger.entry"),
    ],
)
async def test_a_role_with_too_much_power_is_not_made_an_app_role(
    app_role_url: str, connection: Connection, power: str, told: str
) -> None:
    await connection.execute(power)
    with pytest.raises(RoleError, match=told):
        await make_app_role(connection, ROLE)
    settings = settings_for(app_role_url, allow_owner=False)
    with pytest.raises(RoleError, match=told):
        async with Daemon(settings).started():
            pass


async def test_rights_that_a_role_had_before_are_taken_from_it(app: Connection, connection: Connection) -> None:
    await connection.execute(
        f'GRANT ALL ON pedro_ledger.entry, "User" TO "{ROLE}"; GRANT UPDATE (credits) ON pedro_ledger.entry TO "{ROLE}"'
    )
    assert not await make_app_role(connection, ROLE)
    for statement in ("UPDATE pedro_ledger.entry SET credits = 0", 'DELETE FROM "User"'):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute(statement)


async def test_the_app_role_gives_itself_nothing(app: Connection) -> None:
    await app.execute(f'GRANT ALL ON pedro_ledger.entry TO "{ROLE}", PUBLIC')  # a warning of the server, no error
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await app.execute("DELETE FROM pedro_ledger.entry")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await app.execute("ALTER SYSTEM SET fsync = off")


async def test_a_later_migration_gives_app_roles_what_its_tables_need(
    app: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = Migration(len(migration_files()) + 1, "9999_later", "CREATE TABLE pedro_ledger.later (a int)")
    files = [*migration_files(), later]
    monkeypatch.setattr(migrations, "migration_files", lambda: files)
    await migrate(Database(parse_database_url(database_url)))
    await app.execute("INSERT INTO pedro_ledger.later VALUES (1)")


async def test_the_command_makes_the_role_and_says_what_is_left_to_do(
    database_url: str, connection: Connection
) -> None:
    try:
        status, out, err = await command("migrate", "--app-role", "app of the command", DATABASE_URL=database_url)
        assert status == 0, err
        assert "name it in DATABASE_URL, and the owner in DIRECT_URL" in out
        assert r"\password app of the command" in out
        url = as_role(database_url, "app of the command")
        status, out, err = await command("keys", "create", "x", "--scope", "admin", DATABASE_URL=url)
        assert (status, out) == (2, "")
        assert "set DIRECT_URL to the owner's URL" in err
        status, out, err = await command(
            "keys", "create", "x", "--scope", "admin", DATABASE_URL=url, DIRECT_URL=database_url
        )
        assert status == 0, err
    finally:
        await connection.execute('DROP OWNED BY "app of the command"; DROP ROLE "app of the command"')
