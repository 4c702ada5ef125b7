"""Every step of an operator by an owner as managed services give one: no superuser, no file access,
no `session_replication_role`.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tests.support.databases import TestServer, app_ddl, temporary_folder
from tests.support.prismamade import fill
from tests.support.processes import command, served

OWNER = "managed_owner"


@pytest.fixture
async def urls(server: TestServer) -> AsyncIterator[tuple[str, str]]:
    """A database that the app filled, and an empty one, both the owner's."""
    names = [await server.clone("template0") for _ in range(2)]
    await server.execute(f"CREATE ROLE {OWNER} LOGIN CREATEROLE NOSUPERUSER", "DROP ROLE IF EXISTS managed_app")
    for name in names:
        await server.execute(f"ALTER DATABASE {name} OWNER TO {OWNER}")
    filled, empty = (server.url(name).replace("//postgres@", f"//{OWNER}@") for name in names)
    connection = await asyncpg.connect(filled)
    await connection.execute(app_ddl())
    await fill(connection, users=20, rows=200)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("SET session_replication_role = replica")
    await connection.close()
    yield filled, empty
    for name in names:
        await server.drop(name)
    await server.execute("DROP ROLE IF EXISTS managed_app", f"DROP ROLE {OWNER}")


async def test_an_owner_without_powers_does_all_of_it(urls: tuple[str, str]) -> None:
    filled, empty = urls
    with temporary_folder() as folder:
        dump, last = str(folder / "a.dump"), str(folder / "b.dump")
        for arguments in (
            ("migrate", "--plan"),
            ("migrate", "--app-role", "managed_app"),
            ("verify",),
            ("backup", dump),
            ("partition",),
            ("leave",),
            ("migrate",),
            ("verify",),
        ):
            status, _, err = await command(*arguments, DATABASE_URL=filled, PEDRO_LOG_LEVEL="error")
            assert status == 0, (arguments, err)
        async with served(
            DATABASE_URL=filled.replace(OWNER, "managed_app"), DIRECT_URL=filled, PEDRO_ALLOW_OWNER="false"
        ):
            pass
        status, out, err = await command("restore", dump, DATABASE_URL=empty, PEDRO_LOG_LEVEL="error")
        assert (status, "the books are in order" in out) == (0, True), err
        status, _, err = await command(
            "leave", "--drop", "--backup", last, DATABASE_URL=filled, PEDRO_LOG_LEVEL="error"
        )
        assert status == 0, err
        assert Path(last).stat().st_size > 0
