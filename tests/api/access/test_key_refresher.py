"""Reading the keys again: in order, and once for all who wait."""

import asyncio

import asyncpg

from pedro_ledger.api.access.api_keys import KeyRing
from pedro_ledger.api.access.key_refresher import KeyRefresher
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.store.keys import KeyStore, make_key

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'pedro_ledger.api_key'::regclass"


async def test_requests_that_find_the_ring_stale_read_it_once(
    database: Database, connection: Connection, database_url: str
) -> None:
    await make_key(
        connection, name="k", digest=KeyRing.digest("k"), scopes=["admin"], workspace_id=None, expires_at=None
    )
    ring = KeyRing({})
    ring.fresh_for_s = 0
    refresher = KeyRefresher(ring, KeyStore(database))
    holder = await asyncpg.connect(database_url)
    async with holder.transaction():
        await holder.execute("LOCK TABLE pedro_ledger.api_key IN ACCESS EXCLUSIVE MODE")
        asking = [asyncio.create_task(refresher.freshen()) for _ in range(20)]
        while not (waiting := await connection.fetchval(WAITING)):
            await asyncio.sleep(0.01)
        assert waiting == 1
    await asyncio.gather(*asking)
    ring.fresh_for_s = 60
    assert ring.stale_s == 0
    await holder.close()
    await refresher.close()


async def test_who_cannot_read_the_keys_is_not_kept_waiting(
    database: Database, connection: Connection, database_url: str
) -> None:
    refresher = KeyRefresher(KeyRing({}), KeyStore(database))
    holder = await asyncpg.connect(database_url)
    async with holder.transaction():
        await holder.execute("LOCK TABLE pedro_ledger.api_key IN ACCESS EXCLUSIVE MODE")
        await refresher.freshen()
        assert await connection.fetchval(WAITING) == 1, "it is still waited for, by nobody's request"
        await refresher.close()
    await holder.close()
