"""API keys of a test's own, as the command makes them."""

import asyncio
from secrets import token_hex

from pedro_ledger.api.access.api_keys import KeyRing
from pedro_ledger.api.http.scopes import Scope
from pedro_ledger.postgres.database import Connection
from tests.support.client import Api
from tests.support.patience import PATIENCE_S


async def bearer_with(api: Api, connection: Connection, *scopes: Scope) -> str:
    """The `Authorization` of a new key with these scopes, once the daemon knows it."""
    key = f"key-{token_hex(16)}"
    await connection.execute(
        "INSERT INTO pedro_ledger.api_key (id, name, hash, scopes) VALUES ($1, $1, $2, $3)",
        f"k{token_hex(4)}",
        KeyRing.digest(key),
        list(scopes),
    )
    async with asyncio.timeout(PATIENCE_S):
        while (await api.get("/v1/users", auth=f"Bearer {key}")).status == 401:
            await asyncio.sleep(0.02)
    return f"Bearer {key}"
