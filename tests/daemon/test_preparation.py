"""What `serve` does with a database before it serves: it changes nothing in one of others that
nobody migrated.
"""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.support.databases import TestServer
from tests.support.prismamade import USERS
from tests.support.processes import command, served

EVERYTHING = """
    SELECT n.nspname, c.relname, c.xmin::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('public', 'pedro_ledger')
    UNION ALL SELECT 'trigger', tgname, xmin::text FROM pg_trigger
    ORDER BY 1, 2
"""
OWNER = {"PEDRO_ALLOW_OWNER": "true"}
NO_OWNER = {"PEDRO_ALLOW_OWNER": "false"}


@pytest.fixture
async def empty_url(server: TestServer) -> AsyncIterator[str]:
    name = await server.clone("template0")
    yield server.url(name)
    await server.drop(name)


async def refused(url: str, **variables: str) -> str:
    """The line with which `serve` refuses; it has changed nothing."""
    connection = await asyncpg.connect(url)
    before = await connection.fetch(EVERYTHING)
    status, out, err = await command("serve", "--port", "0", DATABASE_URL=url, PEDRO_LOG_LEVEL="error", **variables)
    assert (status, out) == (2, "")
    assert await connection.fetch(EVERYTHING) == before
    await connection.close()
    (line,) = err.splitlines()
    return line


@pytest.mark.parametrize("variables", [OWNER, NO_OWNER], ids=["as the owner", "as a role"])
async def test_an_app_with_users_is_left_alone(prisma_database_url: str, variables: dict[str, str]) -> None:
    connection = await asyncpg.connect(prisma_database_url)
    await connection.execute(USERS.format(users=2))
    line = await refused(prisma_database_url, **variables)
    assert "holds users and no ledger: run pedro-ledger migrate" in line
    assert "--plan" in line
    assert await connection.execute('UPDATE "CreditBalance" SET "creditsRemaining" = 5') == "UPDATE 2"
    await connection.close()


async def test_the_role_is_looked_at_before_anything_is_made(empty_url: str, prisma_database_url: str) -> None:
    for url in (empty_url, prisma_database_url):
        line = await refused(url, **NO_OWNER)
        assert "pedro-ledger migrate --app-role pedro_app" in line
        assert "PEDRO_ALLOW_OWNER=true" in line


async def test_an_empty_database_is_made_by_who_may_own_it(empty_url: str, prisma_database_url: str) -> None:
    for url in (empty_url, prisma_database_url):
        async with served(DATABASE_URL=url, **OWNER):
            pass
        assert (await command("verify", DATABASE_URL=url))[0] == 0


async def test_a_ledger_of_an_older_version_is_left_alone(database_url: str) -> None:
    """An upgrade is an operator's decision, also where the role that serves could migrate."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("ALTER TABLE pedro_ledger.schema_migration DISABLE TRIGGER USER")
    newest = await connection.fetchval(
        "DELETE FROM pedro_ledger.schema_migration WHERE version = (SELECT max(version) FROM pedro_ledger.schema_migration) "
        "RETURNING name"
    )
    await connection.close()
    assert f"lacks {newest}: run pedro-ledger migrate first" in await refused(database_url, **OWNER)


COMMANDS = (
    ("report", "liability"),
    ("verify",),
    ("seed", "config/plans.toml"),
    ("webhooks", "list"),
    ("resync", "config/plans.toml"),
    ("keys", "list"),
    ("keys", "create", "name", "--scope", "admin"),
)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
async def test_every_command_says_it_in_the_same_words(prisma_database_url: str, arguments: tuple[str, ...]) -> None:
    status, out, err = await command(*arguments, DATABASE_URL=prisma_database_url, PEDRO_LOG_LEVEL="error")
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("pedro-ledger: The database ")
    assert line.endswith(" has no ledger yet: run pedro-ledger migrate first.")
