"""What one would write instead of the ledger: a handler that calls one atomic SQL function per
request.

No idempotency, no chain, no statement; the app's tables as Prisma makes them. asyncpg's pool as it
comes: it resets a connection that is given back, which is a second round trip. Run as
`DATABASE_URL=… python -m pedro_ledger.tools.bench.function`.
"""

import os
from collections.abc import AsyncIterator
from importlib.resources import files

import asyncpg
import orjson
from aiohttp import web

from pedro_ledger.tools.bench.serving import serve

POOL_SIZE = 10
POOL: web.AppKey["asyncpg.Pool[asyncpg.Record]"] = web.AppKey("pool")
CALL = 'SELECT entry_id, credits_remaining FROM bench_deduct($1, $2::text::"OperationType", $3)'


def function_sql() -> str:
    """The statement that makes the function."""
    return (files("pedro_ledger.tools.bench") / "function.sql").read_text()


async def deduct(request: web.Request) -> web.Response:
    """Deduct in one round trip; 402 where the credits do not suffice."""
    user_id = request.match_info["user"]
    body = orjson.loads(await request.read())
    row = await request.app[POOL].fetchrow(CALL, user_id, body["operationType"], body["credits"])
    if row is None or row["entry_id"] is None:
        return web.json_response({"code": "insufficient_credits"}, status=402)
    answer = {"entryId": row["entry_id"], "userId": user_id, "creditsRemaining": row["credits_remaining"]}
    return web.Response(body=orjson.dumps(answer), status=201, content_type="application/json")


async def _open_pool(app: web.Application) -> AsyncIterator[None]:
    async with asyncpg.create_pool(
        os.environ["DATABASE_URL"], min_size=POOL_SIZE, max_size=POOL_SIZE, server_settings={"jit": "off"}
    ) as pool:
        app[POOL] = pool
        yield


def make_app() -> web.Application:
    """The application: one route, the daemon's own."""
    app = web.Application()
    app.cleanup_ctx.append(_open_pool)
    app.router.add_post("/v1/users/{user}/deduct", deduct)
    return app


if __name__ == "__main__":
    serve(make_app())
