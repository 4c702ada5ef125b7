"""Databases sort texts as they please; what is sealed, proven and verified must not depend on
it.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from pedro_ledger.cli.verify import verify
from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.proofs.log_file import read_log
from pedro_ledger.proofs.sealer import Sealer
from pedro_ledger.proofs.signing import make_key
from pedro_ledger.store.schema.migrations import migrate
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.databases import TestServer
from tests.support.ledgers import make_user
from tests.support.proof_checker import root_that_is_signed

USERS = ["a", "B", "b-c", "bc", "b_d", "Z", "é", "zz", "\U0001f600", "ﬀ"]


@pytest.fixture
async def odd_database_url(server: TestServer) -> AsyncIterator[str]:
    """Sorted as in English where the server can, which the embedded one cannot; Debian's can."""
    name = "odd_order"
    made = f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"
    try:
        await server.execute(f"{made} LOCALE_PROVIDER icu ICU_LOCALE 'en-US'")
    except asyncpg.FeatureNotSupportedError:
        await server.execute(made)
    yield server.url(name)
    await server.drop(name)


async def test_a_database_that_sorts_as_people_do(
    odd_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pedro_ledger.store.proofs.checkpoints.PAGE_LEAVES", 2)
    monkeypatch.setattr("pedro_ledger.api.endpoints.proofs.PAGE_LEAVES", 2)
    database = Database(parse_database_url(odd_database_url))
    await migrate(database)
    connection = await database.connect()
    for user in USERS:
        await make_user(connection, user, 100)
    by_database = [row["id"] for row in await connection.fetch('SELECT "id" FROM "User" ORDER BY "id"')]
    is_english = await connection.fetchval(
        "SELECT datlocprovider = 'i' FROM pg_database WHERE datname = current_database()"
    )
    await connection.close()
    assert (by_database != sorted(USERS)) == is_english
    signer = make_key(tmp_path / "key.pem")
    sealer = Sealer(database, signer, tmp_path / "checkpoints.ndjson")
    async with Daemon(settings_for(odd_database_url)).started() as running, Api.open(running) as api:
        spent = [(await api.deduct(user, 1)).json["entryId"] for user in USERS]
        checkpoint = await sealer.seal()
        assert checkpoint is not None
        for entry in spent:
            proof = (await api.get(f"/v1/entries/{entry}/proof")).body
            assert root_that_is_signed(proof, signer.public_key) == checkpoint.root
    monkeypatch.setattr("pedro_ledger.cli.verify.PARALLEL_FROM_ENTRIES", 1)
    verdict = await verify(database, read_log(tmp_path / "checkpoints.ndjson"), signer.public_key, quiet=True)
    assert verdict.findings == []
    assert sum(report.users for report in verdict.reports) == len(USERS)
    assert sum(report.entries for report in verdict.reports) == 2 * len(USERS)
