"""Which of several hosts is connected to: a real primary and its standby, silent ones and dead
ones.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from pedro_ledger.ledger.errors import Unavailable
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.health import NOT_A_PRIMARY, SILENT, DatabaseHealth
from pedro_ledger.postgres.url import parse_database_url
from tests.support.databases import TestServer, running_server, temporary_folder
from tests.support.standby import Standby, running_standby

READ_ONLY = ("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
WRITABLE = (
    "SET default_transaction_read_only = off",
    "ALTER SYSTEM RESET default_transaction_read_only",
    "SELECT pg_reload_conf()",
)


@pytest.fixture(scope="module")
def primary() -> Iterator[TestServer]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def standby(primary: TestServer) -> Iterator[Standby]:
    with running_standby(primary) as standby:
        yield standby


@pytest.fixture(scope="module")
def nobody() -> Iterator[Path]:
    """A folder without a server's socket."""
    with temporary_folder() as folder:
        yield folder


@pytest.fixture
async def read_only(primary: TestServer) -> AsyncIterator[None]:
    await primary.execute(*READ_ONLY)
    yield
    await primary.execute(*WRITABLE)


def database_of(*hosts: TestServer | Path, attrs: str | None = None, more: str = "") -> Database:
    places = ",".join(str(host if isinstance(host, Path) else host.server.socket_dir) for host in hosts)
    wanted = "" if attrs is None else f"&target_session_attrs={attrs}"
    return Database(parse_database_url(f"postgresql://postgres@/postgres?host={places}{wanted}{more}"))


async def is_standby(database: Database) -> bool:
    connection = await database.connect()
    try:
        return bool(await connection.fetchval("SELECT pg_is_in_recovery()"))
    finally:
        await connection.close()


@pytest.mark.parametrize("pooled", ["", "&pgbouncer=true"], ids=["reported", "asked"])
@pytest.mark.parametrize("standby_first", [True, False])
@pytest.mark.parametrize(
    ("attrs", "finds"),
    [
        (None, "first"),
        ("any", "first"),
        ("read-write", "primary"),
        ("primary", "primary"),
        ("read-only", "standby"),
        ("standby", "standby"),
        ("prefer-standby", "standby"),
    ],
)
async def test_the_first_host_that_is_what_is_wanted(
    primary: TestServer, standby: Standby, attrs: str | None, finds: str, standby_first: bool, pooled: str
) -> None:
    hosts = (standby, primary) if standby_first else (primary, standby)
    found = await is_standby(database_of(*hosts, attrs=attrs, more=pooled))
    assert found is (standby_first if finds == "first" else finds == "standby")


@pytest.mark.parametrize(
    ("attrs", "finds_standby"), [("read-write", None), ("primary", False), ("read-only", False), ("any", False)]
)
async def test_a_primary_that_is_read_only_is_a_primary_that_cannot_be_written_to(
    primary: TestServer, standby: Standby, read_only: None, attrs: str, finds_standby: bool | None
) -> None:
    database = database_of(primary, standby, attrs=attrs)
    if finds_standby is None:
        with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
            await is_standby(database)
    else:
        assert await is_standby(database) is finds_standby


async def test_without_a_standby_the_one_that_is_preferred_is_not_missed(primary: TestServer, nobody: Path) -> None:
    assert not await is_standby(database_of(nobody, primary, attrs="prefer-standby"))


@pytest.mark.parametrize("attrs", ["any", "read-write"])
async def test_hosts_that_do_not_answer_are_passed_over(primary: TestServer, nobody: Path, attrs: str) -> None:
    assert not await is_standby(database_of(nobody, primary, attrs=attrs))
    with pytest.raises(OSError, match="No such file"):
        await is_standby(database_of(nobody, attrs=attrs))


async def test_a_silent_host_is_waited_for_by_itself(primary: TestServer) -> None:
    """The time-out is one for each host, as libpq has it: the second is reached although the first
    took all of it.
    """
    with temporary_folder() as folder, socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(folder / ".s.PGSQL.5432"))
        mute.listen()
        assert not await is_standby(database_of(folder, primary, more="&connect_timeout=1"))


async def test_a_password_that_is_wrong_is_told_and_no_other_host_is_asked(
    primary: TestServer, standby: Standby
) -> None:
    database = database_of(primary, standby)
    nobody_there = f"postgresql://postgres@/missing?host={','.join(database.url.hosts)}"
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await Database(parse_database_url(nobody_there)).connect()


async def test_hosts_are_tried_in_an_order_of_chance_where_the_url_says_so(
    primary: TestServer, standby: Standby
) -> None:
    database = database_of(primary, standby, more="&load_balance_hosts=random")
    found = set()
    async with asyncio.timeout(60):
        while len(found) < 2:
            found.add(await is_standby(database))


async def test_a_pool_whose_server_turned_read_only_is_opened_anew(primary: TestServer, standby: Standby) -> None:
    database = database_of(primary, attrs="read-write")
    await database.open()
    health = DatabaseHealth(database)
    assert await health.missing() == []
    await primary.execute(*READ_ONLY)
    try:
        while await health.missing() != [NOT_A_PRIMARY]:
            await asyncio.sleep(0.1)
        with pytest.raises(Unavailable):
            async with database.acquire():
                pass
    finally:
        await primary.execute(*WRITABLE)
    while await health.missing():
        await asyncio.sleep(0.1)
    async with database.acquire() as connection:
        assert await connection.fetchval("SHOW default_transaction_read_only") == "off"
    await database.close()


async def test_a_write_that_a_read_only_server_refuses_throws_its_connection_away(primary: TestServer) -> None:
    """Whatever the URL wants: behind one name there may be another server by now."""
    database = database_of(primary)
    await database.open()
    async with database.acquire() as connection:
        pid = await connection.fetchval("SELECT pg_backend_pid()")
    async with database.acquire() as connection:
        assert await connection.fetchval("SELECT pg_backend_pid()") == pid
    with pytest.raises(Unavailable):
        async with database.acquire() as connection, connection.transaction(readonly=True):
            await connection.execute("CREATE TABLE refused ()")
    async with database.acquire() as connection:
        assert await connection.fetchval("SELECT pg_backend_pid()") != pid
    await database.close()


async def test_health_tells_no_primary_from_no_answer(standby: Standby, nobody: Path) -> None:
    for hosts, missing in (([standby], NOT_A_PRIMARY), ([nobody], SILENT), ([nobody, standby], NOT_A_PRIMARY)):
        database = database_of(*hosts, attrs="primary")
        await database.open()
        assert await DatabaseHealth(database).missing() == [missing]
        await database.close()
