"""What another program does to rows that the ledger needs: it locks them and forgets them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

ROWS = {
    "balance": 'SELECT FROM public."CreditBalance" WHERE "userId" = $1',
    "account": "SELECT FROM pedro_ledger.account WHERE user_id = $1",
    "user": 'SELECT FROM public."User" WHERE "id" = $1',
}
LOCKS = [
    ("balance", "FOR UPDATE"),
    ("balance", "FOR NO KEY UPDATE"),
    ("balance", "FOR SHARE"),
    ("account", "FOR UPDATE"),
    ("account", "FOR NO KEY UPDATE"),
    ("account", "FOR SHARE"),
    ("user", "FOR UPDATE"),
]


@asynccontextmanager
async def row_locked(url: str, row: str, strength: str, user: str) -> AsyncIterator[asyncpg.Connection]:
    """A program of the app's holds a row of `user` for the length of the block, in a transaction
    that it forgot.
    """
    connection = await asyncpg.connect(url, server_settings={"application_name": "the app"})
    try:
        async with connection.transaction():
            await connection.execute(f"{ROWS[row]} {strength}", user)
            yield connection
    finally:
        await connection.close()
