"""The limit of one process: a bare JSON echo over aiohttp, uvloop and orjson.

`python -m pedro_ledger.tools.bench.echo`.
"""

import orjson
from aiohttp import web

from pedro_ledger.tools.bench.serving import serve


async def echo(request: web.Request) -> web.Response:
    """Answer with the body, parsed and written again, with the status that the daemon answers a
    deduct with.
    """
    body = orjson.dumps(orjson.loads(await request.read()))
    return web.Response(body=body, status=201, content_type="application/json")


def make_app() -> web.Application:
    """The application: one route, the daemon's own."""
    app = web.Application()
    app.router.add_post("/v1/users/{user}/deduct", echo)
    return app


if __name__ == "__main__":
    serve(make_app())
