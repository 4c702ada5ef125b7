"""What the database reports while it commits, and what follows: for the operation, its neighbours,
readiness, and the same key later.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.patience import PATIENCE_S


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with (
        Daemon(settings_for(database_url, operation_timeout_s=2.0)).started() as running,
        Api.open(running) as api,
    ):
        yield api


async def raises(connection: Connection, sqlstate: str, user: str) -> None:
    """From now on the app's own trigger on "UsageHistory" raises `sqlstate` for one user."""
    await connection.execute(
        "CREATE OR REPLACE FUNCTION app_says_no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF NEW.\"userId\" = '{user}' THEN RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'; END IF; RETURN NEW; END $$;"
        'CREATE OR REPLACE TRIGGER app_says_no BEFORE INSERT ON "UsageHistory" FOR EACH ROW EXECUTE FUNCTION app_says_no()'
    )


async def heal(connection: Connection) -> None:
    await connection.execute('DROP TRIGGER IF EXISTS app_says_no ON "UsageHistory"')


async def until_ready(api: Api) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await api.get("/readyz", auth=None)).status != 200:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("sqlstate", "status", "code"),
    [
        ("22001", 422, "operation_rejected"),
        ("23514", 422, "operation_rejected"),
        ("54000", 422, "operation_rejected"),
        ("P0001", 422, "operation_rejected"),
        ("APP01", 422, "operation_rejected"),
        ("23502", 503, "schema_changed"),
        ("23503", 503, "schema_changed"),
        ("42703", 503, "schema_changed"),
        ("42501", 503, "schema_changed"),
        ("0A000", 503, "schema_changed"),
        ("P0004", 503, "schema_changed"),
        ("58030", 503, "unavailable"),
        ("XX001", 503, "unavailable"),
    ],
)
async def test_a_fault_of_one_users_operation_is_its_own(
    api: Api, connection: Connection, sqlstate: str, status: int, code: str
) -> None:
    users = [await api.user() for _ in range(6)]
    await raises(connection, sqlstate, users[2])
    replies = await asyncio.gather(*(api.deduct(user, 1, key="k") for user in users))
    assert [reply.status for reply in replies] == [201, 201, status, 201, 201, 201]
    assert replies[2].code == code
    assert sqlstate in replies[2].json["detail"]
    if status == 503:
        assert replies[2].json["outcome"] == "not_applied"
        assert replies[2].headers["Retry-After"]
    assert (await api.get("/readyz", auth=None)).status == 200, (
        "one user's trouble is no reason to send all others away"
    )
    await heal(connection)
    assert (await api.deduct(users[2], 1, key="k")).status == 201, "nothing was remembered under the key"
    assert [await api.balance(user) for user in users] == [99] * 6


@pytest.mark.parametrize("sqlstate", ["53100", "57014", "25006", "28000"])
async def test_what_the_server_cannot_do_now_is_tried_again(api: Api, connection: Connection, sqlstate: str) -> None:
    user = await api.user()
    await raises(connection, sqlstate, user)
    refused = await api.deduct(user, 1, key="k")
    assert (refused.status, refused.code, refused.json["outcome"]) == (503, "unavailable", "not_applied")
    unready = await api.get("/readyz", auth=None)
    assert unready.status == 503
    assert sqlstate in unready.json["missing"][0]
    waiting = asyncio.create_task(api.deduct(user, 1, key="k"))
    await heal(connection)
    assert (await waiting).status == 201
    await until_ready(api)


@pytest.mark.parametrize("sqlstate", ["40001", "55P03"])
async def test_what_lies_in_the_moment_is_tried_again_at_once(api: Api, connection: Connection, sqlstate: str) -> None:
    user = await api.user()
    await raises(connection, sqlstate, user)
    waiting = asyncio.create_task(api.deduct(user, 1, key="k"))
    await asyncio.sleep(0.2)
    await heal(connection)
    assert (await waiting).status == 201
