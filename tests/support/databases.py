"""Databases for tests: a real server, a template made once, a clone for each test."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import asyncpg

from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.embedded import EmbeddedPostgres
from pedro_ledger.postgres.queries import sql_folder
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.store.schema.migrations import migrate

PG_BIN = os.environ.get("PEDRO_TEST_PG_BIN")
MEMORY = Path("/dev/shm")
MEMORY_MIN_BYTES = 6 << 30
_numbers = count(1)


@contextmanager
def temporary_folder(*, on_disk: bool = False) -> Iterator[Path]:
    """A folder that the unprivileged user of the server can reach; pytest's own is closed to it
    when tests run as root.

    In memory where there is plenty, since a clone of a database makes and removes 300 files: on a
    disk that takes ten times the CPU. `on_disk` is for what is measured.
    """
    folder = Path(tempfile.mkdtemp(prefix="pedro-test-", dir=None if on_disk else _memory()))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _memory() -> Path | None:
    """Where files are kept in memory, if some servers find room there."""
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_MIN_BYTES:
        return MEMORY
    return None


class TestServer:
    """One PostgreSQL server for a test run, with its templates."""

    __test__ = False

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.server = server

    def url(self, database: str) -> str:
        return self.server.url(database)

    async def execute(self, *statements: str, database: str = "postgres") -> None:
        connection = await asyncpg.connect(self.url(database))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def fetch(self, query: str, *arguments: object, database: str = "postgres") -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.url(database))
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()

    async def make_templates(self) -> None:
        """`ledger_template` is migrated; `prisma_template` is a database as the app's Prisma makes
        it.
        """
        await self.execute("CREATE DATABASE ledger_template", "CREATE DATABASE prisma_template")
        await migrate(Database(parse_database_url(self.url("ledger_template"))))
        await self.execute(app_ddl(), database="prisma_template")

    async def clone(self, template: str) -> str:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log")
        return name

    async def drop(self, name: str) -> None:
        await self.execute(f"DROP DATABASE {name} WITH (FORCE)")


def app_ddl() -> str:
    """What Prisma makes of the app's schema."""
    return (sql_folder() / "app" / "prisma-ddl.sql").read_text()


@contextmanager
def running_server(*, on_disk: bool = False) -> Iterator[TestServer]:
    """The server of the test run: the embedded one, or that of PEDRO_TEST_PG_BIN."""
    with temporary_folder(on_disk=on_disk) as folder:
        server = EmbeddedPostgres(folder, bin_dir=Path(PG_BIN) if PG_BIN else None, linger_s=0, admits_owner=True)
        server.start()
        try:
            yield TestServer(server)
        finally:
            server.stop()
