"""Backups: whole under load, private, read back; restored into an empty database or not at all."""

import stat
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path

import orjson
import pytest

from pedro_ledger.postgres.client_programs import ProgramError, environment_of, fitting
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.store.schema import backups as archives
from tests.support.client import Api
from tests.support.databases import TestServer, temporary_folder
from tests.support.loading import deducts
from tests.support.processes import command

GUARDS = (
    "SELECT c.relname, t.tgname, t.tgenabled::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
    "WHERE NOT t.tgisinternal ORDER BY 1, 2"
)
CONSTRAINTS = (
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype <> 'n' AND connamespace IN "
    "('public'::regnamespace, 'pedro_ledger'::regnamespace) ORDER BY 1"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_folder() as folder:
        yield folder


@pytest.fixture
async def empty_url(server: TestServer) -> AsyncIterator[str]:
    name = await server.clone("template0")
    yield server.url(name)
    await server.drop(name)


async def rows(url: str, query: str) -> list[tuple[object, ...]]:
    connection = await Database(parse_database_url(url)).connect()
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def test_everything_acknowledged_before_the_cut_is_restored(
    api: Api, database_url: str, empty_url: str, folder: Path
) -> None:
    users = [await api.user(100_000) for _ in range(5)]
    file = folder / "ledger.dump"
    async with deducts(api, users) as load:
        await load.more(50)
        status, out, err = await command("backup", str(file), "--json", DATABASE_URL=database_url)
        assert status == 0, err
        await load.more(50)
    made = orjson.loads(out)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in folder.iterdir()] == ["ledger.dump"]

    status, out, err = await command("restore", str(file), "--json", DATABASE_URL=empty_url)
    assert status == 0, err
    verified = orjson.loads(out)
    assert verified["problems"] == []
    assert (verified["users"], verified["entries"]) == (made["users"], made["entries"])
    restored = {str(row[0]) for row in await rows(empty_url, "SELECT id FROM pedro_ledger.entry")}
    before_the_cut = [entry for at, entry in load.acknowledged if at < datetime.fromisoformat(made["cut_at"])]
    assert len(before_the_cut) >= 50
    assert set(before_the_cut) <= restored
    assert load.refused == []
    for query in (GUARDS, CONSTRAINTS):
        assert await rows(empty_url, query) == await rows(database_url, query)


async def test_a_database_with_anything_in_it_is_not_restored_into(
    api: Api, database_url: str, prisma_database_url: str, empty_url: str, folder: Path
) -> None:
    await api.user()
    file = folder / "ledger.dump"
    assert (await command("backup", str(file), DATABASE_URL=database_url))[0] == 0
    for url in (database_url, prisma_database_url):
        status, _, err = await command("restore", str(file), DATABASE_URL=url)
        assert (status, "is not empty (the table public." in err) == (2, True), err
    await rows(empty_url, "CREATE SCHEMA pedro_ledger")
    status, _, err = await command("restore", str(file), DATABASE_URL=empty_url)
    assert (status, "is not empty (the schema pedro_ledger)" in err) == (2, True), err


async def test_an_archive_cut_short_restores_nothing(api: Api, database_url: str, empty_url: str, folder: Path) -> None:
    await api.user()
    file = folder / "ledger.dump"
    assert (await command("backup", str(file), DATABASE_URL=database_url))[0] == 0
    content = file.read_bytes()
    for length in (0, 100, len(content) // 2, len(content) - 400):
        file.write_bytes(content[:length])
        status, _, err = await command("restore", str(file), DATABASE_URL=empty_url)
        assert (status, err.count("\n")) == (2, 1), err
        assert await rows(empty_url, archives._SQL["find_content"]) == []
    status, _, err = await command("restore", str(folder / "none"), DATABASE_URL=empty_url)
    assert (status, "is no file" in err) == (2, True)


async def test_a_restore_that_fails_after_the_archive_leaves_nothing(
    api: Api, connection: Connection, database_url: str, empty_url: str, folder: Path
) -> None:
    """Whole or not at all also where this version cannot migrate what is in the archive."""
    await api.user()
    good, newer = folder / "good.dump", folder / "newer.dump"
    assert (await command("backup", str(good), DATABASE_URL=database_url))[0] == 0
    await connection.execute(
        """CREATE FUNCTION public.own() RETURNS int LANGUAGE sql AS 'SELECT 1';
        CREATE TYPE public.mood AS ENUM ('well'); CREATE DOMAIN public.few AS int CHECK (VALUE < 9);
        CREATE VIEW public.seen AS SELECT user_id, public.own() FROM pedro_ledger.account; CREATE SEQUENCE public.numbers;
        INSERT INTO pedro_ledger.schema_migration (version, name, checksum, adopted) VALUES (9999, '9999_later', 'x', false)"""
    )
    assert (await command("backup", str(newer), DATABASE_URL=database_url))[0] == 0
    status, _, err = await command("restore", str(newer), DATABASE_URL=empty_url)
    assert (status, "upgrade pedro-ledger" in err) == (2, True), err
    assert await rows(empty_url, archives._SQL["find_content"]) == []
    assert await rows(empty_url, "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace") == []
    status, out, err = await command("restore", str(good), DATABASE_URL=empty_url)
    assert (status, "the books are in order" in out) == (0, True), err


async def test_a_role_that_the_server_lacks_is_named(
    connection: Connection, database_url: str, empty_url: str, folder: Path
) -> None:
    await connection.execute('CREATE ROLE "gone soon"; GRANT SELECT ON "User" TO "gone soon"')
    file = folder / "ledger.dump"
    assert (await command("backup", str(file), DATABASE_URL=database_url))[0] == 0
    await connection.execute('DROP OWNED BY "gone soon"; DROP ROLE "gone soon"')
    status, _, err = await command("restore", str(file), DATABASE_URL=empty_url)
    assert (status, "the role gone soon, which this server lacks" in err) == (2, True), err
    assert await rows(empty_url, archives._SQL["find_content"]) == []
    status, _, err = await command("restore", str(file), "--no-privileges", DATABASE_URL=empty_url)
    assert status == 0, err


async def test_a_backup_that_fails_leaves_no_file_and_keeps_the_old_one(
    database_url: str, prisma_database_url: str, folder: Path
) -> None:
    file = folder / "ledger.dump"
    status, _, err = await command("backup", str(file), DATABASE_URL=prisma_database_url)
    assert (status, "run pedro-ledger migrate first" in err) == (2, True)
    assert list(folder.iterdir()) == []
    file.write_text("the one before")
    status, _, err = await command("backup", str(file), DATABASE_URL=database_url)
    assert (status, "exists: name another file, or say --replace" in err) == (2, True)
    status, _, _ = await command("backup", str(file), "--replace", DATABASE_URL=prisma_database_url)
    assert (status, file.read_text()) == (2, "the one before")
    assert (await command("backup", str(file), "--replace", DATABASE_URL=database_url))[0] == 0
    assert file.read_bytes()[:5] == b"PGDMP"
    status, _, err = await command("backup", str(folder / "no" / "file"), DATABASE_URL=database_url)
    assert (status, "does not exist" in err) == (2, True)


async def test_an_archive_that_lacks_a_tables_rows_is_refused(
    api: Api, database: Database, connection: Connection, folder: Path
) -> None:
    await api.user()
    major = await connection.fetchval("SELECT current_setting('server_version_num')::int / 10000")
    pg_dump, pg_restore = (fitting(name, major, database.url)[0] for name in ("pg_dump", "pg_restore"))
    file = folder / "partly.dump"
    await archives.run_program(
        pg_dump, ["--format=custom", "--exclude-table-data=pedro_ledger.entry", f"--file={file}"], database.url
    )
    tables = [(row["schema"], row["name"]) for row in await connection.fetch(archives._SQL["list_tables"])]
    with pytest.raises(archives.ArchiveError, match=r"lacks the rows of pedro_ledger\.entry"):
        await archives.check_archive(pg_restore, file, tables)


def test_programs_older_than_the_server_are_not_used() -> None:
    with pytest.raises(ProgramError, match=r"no pg_dump for PostgreSQL 99 here: install .*postgresql-client-99"):
        fitting("pg_dump", 99, parse_database_url("postgresql://h/d"))


def test_the_password_goes_by_the_environment_and_our_urls_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "PEDRO_API_KEY", "PGSERVICE", "PGHOSTADDR"):
        monkeypatch.setenv(name, "other")
    given = environment_of(
        parse_database_url("postgresql://u:hunter2@db:6000/ledger?sslmode=verify-full&connect_timeout=7")
    )
    assert (given["PGPASSWORD"], given["PGHOST"], given["PGPORT"], given["PGDATABASE"]) == (
        "hunter2",
        "db",
        "6000",
        "ledger",
    )
    assert (given["PGSSLMODE"], given["PGSSLROOTCERT"]) == ("verify-full", "system")
    assert given["PGCONNECT_TIMEOUT"] == "7"
    assert not {"DATABASE_URL", "PEDRO_API_KEY", "PGSERVICE", "PGHOSTADDR"} & given.keys()


@pytest.mark.embedded
async def test_reset_asks_and_empties_the_embedded_database(database_url: str, folder: Path) -> None:
    variables = {"PEDRO_DATA_DIR": str(folder)}
    status, _, err = await command("reset", "--confirm", "delete every credit", DATABASE_URL=database_url)
    assert (status, "embedded database alone" in err) == (2, True)
    status, _, err = await command("reset", **variables)
    assert (status, "nothing to reset" in err) == (2, True)
    assert (await command("migrate", **variables))[0] == 0
    for said in ("yes", ""):
        assert (await command("reset", "--confirm", said, **variables))[0] == 1
    assert (await command("migrate", "--check", **variables))[0] == 0
    status, out, err = await command("reset", "--confirm", "delete every credit", **variables)
    assert (status, "the database is empty" in out) == (0, True), err
    assert (await command("migrate", "--check", **variables))[0] == 1
