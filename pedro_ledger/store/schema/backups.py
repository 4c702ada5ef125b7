"""Backups of both schemas as `pg_dump` archives: making one of a known cut, checking what it holds,
restoring it whole or not at all.
"""

import re
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from pedro_ledger.ledger.errors import OperatorError
from pedro_ledger.postgres.client_programs import Program, ProgramError, fitting, run_program
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.failures import unavailable
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.postgres.sessions import JOB
from pedro_ledger.store.schema.standing import require_ledger

_SQL = SqlFiles("schema")
APPLICATION_NAME = "pedro_ledger"
TABLE_LOCK_WAIT = "30s"
"""How long `pg_dump` waits for a table that a migration holds."""
TIMEOUT_SETTING_SINCE = 17
"""From this version on `pg_restore` sends a setting that older servers refuse."""
_DUMPED_FROM = re.compile(r"^;\s+Dumped from database version: (\d+)", re.MULTILINE)
_MISSING_ROLE = re.compile(r'role "(.+?)" does not exist')
_MADE_ANYWAY = re.compile(r"^\d+; \d+ \d+ (?:SCHEMA - public|COMMENT - SCHEMA public) ")


class ArchiveError(OperatorError):
    """A backup cannot be made, read or restored; the message says why and what to do."""


class Archive(NamedTuple):
    """A backup that was made and checked."""

    cut_at: datetime
    """Whatever was acknowledged before this moment is in it."""
    server_major: int
    dump_major: int
    tables: int
    users: int
    entries: int
    credits: int
    """Credits owed to all users at the cut."""


async def make_archive(database: Database, file: Path) -> Archive:
    """Write the archive and read it again.

    Raises `ArchiveError`, `ProgramError` or `Unavailable`; `file` may then be half written.
    """
    with unavailable():
        connection = await database.session(timeouts=JOB)
    try:
        await require_ledger(connection, database.url.label)
        with unavailable():
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await _make(database, connection, file)
    finally:
        connection.terminate()


async def _make(database: Database, connection: Connection, file: Path) -> Archive:
    cut = await connection.fetchrow(_SQL["read_cut"])
    assert cut is not None, "an aggregate always has one row"
    snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
    extensions = [row["name"] for row in await connection.fetch(_SQL["list_extensions"])]
    tables = [(row["schema"], row["name"]) for row in await connection.fetch(_SQL["list_tables"])]
    pg_dump = fitting("pg_dump", cut["server_major"], database.url)[0]
    await run_program(
        pg_dump,
        [
            "--format=custom", "--schema=public", "--schema=pedro_ledger", *(f'--extension="{name}"' for name in extensions),
            f"--snapshot={snapshot}", f"--lock-wait-timeout={TABLE_LOCK_WAIT}", "--no-password", f"--file={file}",
        ],
        database.url,
    )  # fmt: skip
    pg_restore = next((each for each in fitting("pg_restore", pg_dump.major, database.url)), None)
    assert pg_restore is not None, "fitting raises where there is none"
    await check_archive(pg_restore, file, tables)
    return Archive(
        cut["cut_at"], cut["server_major"], pg_dump.major, len(tables), cut["users"], cut["entries"], cut["credits"]
    )


async def check_archive(pg_restore: Program, file: Path, tables: Sequence[tuple[str, str]]) -> None:
    """Raises `ArchiveError` unless the archive lists the rows of each of `tables` and can be read
    to its end.
    """
    listed = re.findall(r"^\d+; \d+ \d+ TABLE DATA (.+)$", await run_program(pg_restore, ["--list", str(file)]), re.M)
    for schema, name in tables:
        if not any(line.startswith(f"{schema} {name} ") for line in listed):
            raise ArchiveError(f"The archive lacks the rows of {schema}.{name}: make it again.")
    # The list stands at the archive's beginning: only reading the rows shows that they are all
    # there.
    await run_program(pg_restore, ["--file=/dev/null", str(file)])


@asynccontextmanager
async def restored_archive(database: Database, file: Path, *, drop_grants: bool = False) -> AsyncIterator[int]:
    """Restore into an empty database, in one transaction, and do what is in the context.

    Gives the number of tables. Raises as `make_archive`, and leaves nothing then, nor where the
    context raises.
    """
    with unavailable():
        connection = await database.session(timeouts=JOB)
    try:
        extensions = await connection.fetch(_SQL["list_extensions"])
        server_major = await connection.fetchval("SELECT current_setting('server_version_num')::integer / 10000")
        content = await connection.fetchval(_SQL["find_content"])
        if content is not None:
            raise ArchiveError(
                f"The database {database.url.label} is not empty ({content}): restore into a new one (createdb NAME, then "
                "DATABASE_URL), or, with the embedded server, into another PEDRO_DATA_DIR or after pedro-ledger reset."
            )
        pg_restore, listing = await _readable_list(database, server_major, file)
        entries = [line for line in listing.splitlines() if line and not _MADE_ANYWAY.match(line)]
        await _restore_entries(database, pg_restore, file, entries, drop_grants=drop_grants)
        try:
            with unavailable():
                await connection.execute("ANALYZE")
            yield sum(" TABLE DATA " in line for line in entries)
        except BaseException:
            await _remove_content(connection, [row["name"] for row in extensions])
            raise
    finally:
        connection.terminate()


async def _remove_content(connection: Connection, extensions: Sequence[str]) -> None:
    async with connection.transaction():
        # Every name is written with its schema.
        await connection.execute(
            "SELECT set_config('search_path', '', true), set_config('pedro_ledger.kept_extensions', $1, true)",
            ",".join(extensions),
        )
        await connection.execute(_SQL["remove_content"])


async def _restore_entries(
    database: Database, pg_restore: Program, file: Path, entries: Sequence[str], *, drop_grants: bool
) -> None:
    with tempfile.NamedTemporaryFile("w", prefix="pedro-ledger-", suffix=".list") as wanted:
        wanted.write("\n".join(entries) + "\n")
        wanted.flush()
        arguments = [
            "--single-transaction", "--exit-on-error", "--no-owner", "--no-password", f"--use-list={wanted.name}",
            # Names no database, so that PGDATABASE does; a name could be read as something else.
            f"--dbname=application_name={APPLICATION_NAME}", *(["--no-privileges"] if drop_grants else []), str(file),
        ]  # fmt: skip
        try:
            await run_program(pg_restore, arguments, database.url)
        except ProgramError as error:
            missing = _MISSING_ROLE.search(str(error))
            if missing is None:
                raise
            raise ArchiveError(
                f"The backup grants rights to the role {missing[1]}, which this server lacks: make it (CREATE ROLE), "
                "or restore with --no-privileges."
            ) from None


async def _readable_list(database: Database, server_major: int, file: Path) -> tuple[Program, str]:
    """The program that can both read the archive and restore it into this server, and the archive's
    list.
    """
    complaint = ""
    for pg_restore in fitting("pg_restore", server_major, database.url):
        try:
            listing = await run_program(pg_restore, ["--list", str(file)])
        except ProgramError as error:
            complaint = complaint or str(error)
            continue
        made_from = _DUMPED_FROM.search(listing)
        if made_from is not None and int(made_from[1]) > server_major:
            raise ArchiveError(
                f"{file} was made of PostgreSQL {made_from[1]} and the server is {server_major}: "
                f"restore it into PostgreSQL {made_from[1]} or later."
            )
        if server_major < TIMEOUT_SETTING_SINCE <= pg_restore.major:
            raise ArchiveError(
                f"pg_restore {pg_restore.major} cannot restore into PostgreSQL {server_major}: install the client programs of "
                f"{server_major} (postgresql-client-{server_major} on Debian), or restore into PostgreSQL {pg_restore.major}."
            )
        return pg_restore, listing
    raise ArchiveError(f"{file} is no backup that can be read here: {complaint}")
