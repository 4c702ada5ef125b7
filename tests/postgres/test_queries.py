"""The SQL that the package carries: every query says its purpose, is used, and is understood by the
server.
"""

import ast
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

import pedro_ledger
from pedro_ledger.postgres.database import Connection
from pedro_ledger.postgres.queries import SqlFiles, sql_folder

QUERIES = sorted((sql_folder() / "queries").glob("*/*.sql"))
SEVERAL_STATEMENTS = {
    "close_ledger", "forget_changed_events", "make_record", "prepare_session", "recount_rollups", "reopen_ledger",
    "wait_for_writers",
}  # fmt: skip
"""Run, not prepared."""
WHILE_AWAY = {"note_departure", "note_return", "read_departure", "reopen_ledger"}
"""Their table is there while the ledger is out of use."""
WHILE_SUMMING = {"sum_history"}
"""Its table is there while history is summed up."""
SUMMING = "CREATE TABLE pedro_ledger.history_summing (after_user_id text NOT NULL)"


def names_used() -> dict[str, tuple[set[str], set[str]]]:
    """For each area, the names that the code subscripts `_SQL` with, and every text in the module
    that opens the area.
    """
    used = {}
    for file in Path(pedro_ledger.__file__).parent.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
        areas = [
            node.args[0].value
            for node in nodes
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "SqlFiles"
            if isinstance(node.args[0], ast.Constant)
        ]
        subscripts = [
            node.slice.value
            for node in nodes
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "_SQL"
            if isinstance(node.slice, ast.Constant)
        ]
        texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        for area in areas or [file.parent.name]:  # the stores of the app's tables open their area in their base's name
            names, known = used.setdefault(str(area), (set(), set()))
            names |= {str(name) for name in subscripts}
            known |= set(texts)
    return used


def test_every_name_that_the_code_uses_is_a_file_and_every_file_is_used() -> None:
    """A query that is missing must not be found out by a request."""
    used = names_used()
    assert {file.parent.name for file in QUERIES} <= used.keys()
    for area in sorted({file.parent.name for file in QUERIES}):
        subscripts, texts = used[area]
        there = {file.stem for file in QUERIES if file.parent.name == area}
        assert subscripts <= there, f"{area}: no such query"
        assert there <= texts, f"{area}: not used"


@pytest.mark.parametrize("file", QUERIES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_query_begins_with_its_purpose(file: Path) -> None:
    first, _, rest = file.read_text(encoding="utf-8").partition("\n")
    assert first.startswith("-- ")
    assert first.endswith((".", ")."))
    assert rest.strip()


async def test_the_server_understands_every_query(connection: Connection) -> None:
    for file in QUERIES:
        text = file.read_text(encoding="utf-8")
        transaction = connection.transaction()
        await transaction.start()
        try:
            if file.stem in WHILE_AWAY:
                await connection.execute((file.parent / "close_ledger.sql").read_text(encoding="utf-8"))
            if file.stem in WHILE_SUMMING:
                await connection.execute(SUMMING)
            if file.stem in SEVERAL_STATEMENTS:
                await connection.execute(text)
            else:
                await connection.prepare(text)
        except asyncpg.PostgresError as error:
            pytest.fail(f"{file.parent.name}/{file.name}: {error}")
        finally:
            await transaction.rollback()


def test_a_name_or_area_that_is_not_there_is_told() -> None:
    with pytest.raises(LookupError, match=r"no sql/queries/journal/no_such_query\.sql"):
        SqlFiles("journal")["no_such_query"]
    with pytest.raises(LookupError, match="no query in sql/queries/no_such_area"):
        SqlFiles("no_such_area")


def test_files_are_read_alike_on_every_machine() -> None:
    """The checksum of a migration must not depend on the locale of the machine that reads it."""
    code = "from pedro_ledger.store.schema.migrations import migration_files; migration_files()"
    strict = ["-X", "warn_default_encoding", "-W", "error::EncodingWarning"]
    done = subprocess.run([sys.executable, *strict, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
