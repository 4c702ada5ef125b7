"""What is due on an account that somebody has locked waits; what is due elsewhere is booked."""

import asyncio

from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.patience import PATIENCE_S
from tests.system.radius.locks import row_locked

SHOWN = 'SELECT "creditsRemaining" FROM "CreditBalance" WHERE "userId" = $1'


async def until_shown(connection: Connection, user: str, credits: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await connection.fetchval(SHOWN, user) != credits:
            await asyncio.sleep(0.02)


async def test_what_falls_due_is_booked_while_a_due_account_is_locked(
    database_url: str, connection: Connection
) -> None:
    settings = settings_for(database_url, operation_timeout_s=PATIENCE_S)
    async with Daemon(settings).started() as running, Api.open(running) as api:
        locked, *others = [await api.user(100) for _ in range(5)]
        assert (await api.grant(locked, 10, expiresIn=1)).status == 201
        async with row_locked(database_url, "balance", "FOR UPDATE", locked):
            async with asyncio.timeout(PATIENCE_S):
                while len(api.parts.engine.committer.busy) == 0:
                    await asyncio.sleep(0.02)
            for user in others:
                assert (await api.grant(user, 10, expiresIn=1)).status == 201
                assert await connection.fetchval(SHOWN, user) == 110
            for user in others:
                await until_shown(connection, user, 100)
            assert await connection.fetchval(SHOWN, locked) == 110
        await until_shown(connection, locked, 100)
